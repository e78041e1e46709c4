//! Subjects, names and headers of messages.

use engine_net::headers::Headers;
use engine_net::messages::heartbeat::Heartbeat;
use engine_net::name;
use engine_net::subject::{Subject, Subjects};

use crate::Seeds;
use crate::script::{Script, Writer};

pub(super) fn run(input: &[u8]) {
    let mut script = Script::new(input);
    let (prefix, world, rest) = (script.text(), script.text(), script.text());
    for text in [&prefix, &world, &rest] {
        assert_eq!(name::token("it", text).is_ok(), name::is_token(text));
        assert_eq!(name::dotted("it", text).is_ok(), name::is_dotted(text));
    }
    let subjects = Subjects::new(&prefix, &world).unwrap_or_else(|_| Subjects::new("engine", "main").expect("a name"));
    let root = subjects.root().to_owned();
    for subject in [rest.clone(), format!("{root}{rest}"), format!("{root}.{rest}")] {
        if let Some(found) = subjects.parse(&subject) {
            assert!(subjects.covers(&subject));
            written_as_read(&subjects, found, &subject);
        }
    }
    let headers = [script.text(), script.text(), script.text(), script.text()];
    let names = ["msg-type", "epoch", "tick-id", "instance-id"];
    let read = Headers::read(|name| {
        names.iter().position(|known| *known == name).map(|at| headers[at].as_str()).filter(|text| !text.is_empty())
    });
    let _ = read.is::<Heartbeat>();
    let lines: Vec<(&str, String)> = read.lines().collect();
    let again = Headers::read(|name| lines.iter().find(|line| line.0 == name).map(|line| line.1.as_str()));
    assert_eq!(read, again, "headers are written as they were read");
}

fn written_as_read(subjects: &Subjects, found: Subject<'_>, subject: &str) {
    let of = |by| subjects.clone().with_identity(by).expect("it was a token");
    let written = match found {
        Subject::Schedule { system, instance } => subjects.schedule(system, instance),
        Subject::Register(from) => subjects.register(from),
        Subject::Heartbeat(from) => subjects.heartbeat(from),
        Subject::Leave(from) => subjects.leave(from),
        Subject::Changed { epoch, from } => subjects.changed(epoch, from),
        Subject::Rejected(to) => subjects.rejected(to),
        Subject::WatchRequest { by } => of(by).watch(),
        Subject::WatchFrame { by, id } => of(by).watch_frame(id),
        Subject::WatchAck { by, id } => of(by).watch_ack(id),
        Subject::Command { domain, aggregate, action, by } => of(by).command(domain, aggregate, action),
        Subject::Event { name } => subjects.event(name),
        Subject::Health { service } => subjects.health(service),
        Subject::Discovery { service } => subjects.discovery(service),
        _ => return,
    };
    assert_eq!(written, subject, "a subject is written as it was read");
}

pub(super) fn seeds() -> Seeds {
    let seed = |rest: &str, headers: [&str; 4]| {
        let script = Writer::default().block("engine").block("main").block(rest);
        headers.iter().fold(script, Writer::block).end()
    };
    let none = [""; 4];
    vec![
        ("changed", seed("component.changed.7.a+b.i1", ["heartbeat.1", "7", "70", "i1"])),
        ("register", seed("system.register.bounce+steer.i1", none)),
        ("schedule", seed("system.schedule.steer.i1", none)),
        ("command", seed("command.world.entity.spawn", none)),
        ("event", seed("event.arena.Hit", none)),
        ("watch", seed("watch.ack.12", none)),
        ("identity", seed("watch.ack.alice.12", none)),
        ("health", seed("health.coordinator", none)),
    ]
}
