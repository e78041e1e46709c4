//! Permissions: the subjects of a role are tried, with messages that nobody acts on.
//!
//! The server refuses a subject by a line on the connection, which comes before the answer to what was sent
//! afterwards. Only subjects without an effect are published on: made-up instances, an epoch that is none, a
//! command to remove no entity.

use std::time::Duration;

use bytes::Bytes;
use engine_net::messages::Message;
use engine_net::messages::command::{Action, Command, DOMAIN};
use engine_net::messages::query::QueryRequest;
use engine_net::messages::schemas::SchemasRequest;

use engine_net::name;
use engine_net::subject::Sender;

use super::server::echo;
use super::{Findings, Role, State, list};
use crate::link::Link;

/// The name of an instance that doesn't exist.
const NOBODY: &str = "engine-doctor";
/// The same, where it says who it is.
const NOONE: Sender<'static> = Sender { systems: NOBODY, instance: NOBODY };
/// How long the client may take to pass on what it has read already.
const GRACE: Duration = Duration::from_millis(100);

pub(super) async fn look(findings: &mut Findings, link: &Link, role: Role, systems: &[String]) -> anyhow::Result<()> {
    let (publish, subscribe) = subjects(link, role, systems)?;
    let client = &link.connection.client;
    let mut open = Vec::new();
    for subject in &subscribe {
        open.push(client.subscribe(subject.clone()).await?);
    }
    for (subject, payload) in &publish {
        client.publish(subject.clone(), payload.clone()).await?;
    }
    echo(link).await?;
    tokio::time::sleep(GRACE).await;
    drop(open);
    let refused = |subject: &String| link.complaints.about_exactly(subject);
    let no_publish: Vec<String> = publish.iter().map(|(subject, _)| subject).filter(|s| refused(s)).cloned().collect();
    let no_subscribe: Vec<String> = subscribe.iter().filter(|subject| refused(subject)).cloned().collect();
    let role = match role {
        Role::Tool => "tool",
        Role::Viewer => "viewer",
        Role::System => "system",
        Role::Coordinator => "coordinator",
    };
    if no_publish.is_empty() && no_subscribe.is_empty() {
        return findings.ok("permissions", format!("this user may publish and subscribe what a {role} needs"));
    }
    for (word, subjects) in [("publish on", &no_publish), ("subscribe", &no_subscribe)] {
        if !subjects.is_empty() {
            findings.add(
                State::Fail,
                "permissions",
                format!("this user may not {word} {}, which a {role} needs", list(subjects)),
                "add the subjects to the permissions of the user in the server's configuration, or connect as another user",
            )?;
        }
    }
    Ok(())
}

type Wanted = (Vec<(String, Bytes)>, Vec<String>);

/// What a role publishes on, with something harmless to publish, and what it subscribes.
fn subjects(link: &Link, role: Role, systems: &[String]) -> anyhow::Result<Wanted> {
    let s = &link.subjects;
    let with_nothing = |subjects: Vec<String>| subjects.into_iter().map(|subject| (subject, Bytes::new())).collect();
    Ok(match role {
        Role::Tool | Role::Viewer => {
            let few = QueryRequest {
                page_rows: 1,
                entities: vec![engine_component::Entity::from_bits(1)],
                ..QueryRequest::default()
            };
            let nobody = Action::Despawn { entities: Vec::new() };
            let (aggregate, word) = nobody.subject();
            let nobody = Command::new(NOBODY, nobody);
            let mut publish = vec![
                (s.query(), Bytes::from(few.encode())),
                (s.schemas(), Bytes::from(SchemasRequest::default().encode())),
                (s.status(), Bytes::new()),
            ];
            if role == Role::Tool {
                publish.push((s.command(DOMAIN, aggregate, word), Bytes::from(nobody.encode())));
            }
            (publish, Vec::new())
        }
        Role::System => {
            let names = if systems.is_empty() { vec![NOBODY] } else { systems.iter().map(String::as_str).collect() };
            let token = name::systems(names.iter().copied())?;
            let own = Sender { systems: &token, instance: NOBODY };
            let mut subscribe: Vec<String> = names.into_iter().map(|system| s.schedule(system, NOBODY)).collect();
            subscribe.extend([s.rejected(own), s.hello()]);
            (with_nothing(vec![s.changed(0, own)]), subscribe)
        }
        Role::Coordinator => {
            let publish = with_nothing(vec![s.rejected(NOONE), s.schedule(NOBODY, NOBODY), s.watch_frame(NOBODY)]);
            let mut subscribe = s.membership().to_vec();
            subscribe.extend([
                s.changed_in(0),
                s.status(),
                s.query(),
                s.schemas(),
                s.snapshot(),
                s.trace(),
                s.commands_of(DOMAIN),
            ]);
            (publish, subscribe)
        }
    })
}
