//! What programs around a world may do in a domain: those that own it, those that give its commands, and whoever decides
//! about its dead letters.
//!
//! The streams of the domains are in the account of the world, and JetStream is asked for them on subjects of its own.
//! So what may be asked of a stream is a list of subjects, like all the rest: nobody here may delete, purge or change
//! one. Where a name has to be a token of the subject for that, it is one: of streams the domain is a part of the name.

use engine_net::Subjects;
use engine_service::names::Names;

use super::role::{ASKERS, Member, Role};
use super::{Acl, Grant};

impl Acl {
    /// All domains of the world, each once, in order.
    pub(super) fn domains(&self) -> Vec<&str> {
        let of_roles = self.roles.iter().filter_map(Role::domain);
        let of_buckets = self.streams.buckets.iter().map(|bucket| bucket.domain.as_str());
        let kept = self.streams.kept_events.iter().map(String::as_str);
        let mut all: Vec<&str> = of_roles.chain(of_buckets).chain(kept).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The names of streams, as the programs make them.
    pub(super) fn names(&self) -> Names {
        Names::new(Subjects::new(&self.prefix, &self.world).expect("prefix and world were checked"))
    }

    fn buckets_of<'a>(&'a self, domain: &'a str) -> impl Iterator<Item = &'a str> {
        self.streams.buckets.iter().filter(move |bucket| bucket.domain == domain).map(|bucket| bucket.name.as_str())
    }

    /// Makes a stream, if it may, and looks at it.
    fn makes(&self, grant: Grant, stream: &str) -> Grant {
        let create = (!self.streams.are_made).then_some("STREAM.CREATE");
        self.asks_of(grant, stream, create.into_iter().chain(["STREAM.INFO"]))
    }

    /// Asks this of a stream.
    fn asks_of<'v>(&self, grant: Grant, stream: &str, verbs: impl IntoIterator<Item = &'v str>) -> Grant {
        let calls: Vec<String> = verbs.into_iter().map(|verb| format!("{verb}.{stream}")).collect();
        grant.publish(&self.jetstream, calls.iter().map(String::as_str))
    }

    /// Reads a stream by consumers that it makes.
    fn consumes(&self, grant: Grant, stream: &str) -> Grant {
        let calls = [
            // One without a name, and one with a name, perhaps with its filter behind it.
            format!("CONSUMER.CREATE.{stream}"),
            format!("CONSUMER.CREATE.{stream}.>"),
            format!("CONSUMER.INFO.{stream}.*"),
            format!("CONSUMER.MSG.NEXT.{stream}.*"),
        ];
        // Where JetStream has a domain, or the server is told to, its name and a hash are before the stream's.
        let acks = [format!("ACK.{stream}.>"), format!("ACK.*.*.{stream}.>")];
        grant.publish(&self.jetstream, calls.iter().map(String::as_str)).publish("$JS", acks.iter().map(String::as_str))
    }

    /// Reads the values of a bucket, one and all.
    fn reads_bucket(&self, grant: Grant, bucket: &str) -> Grant {
        let (stream, values) = (format!("KV_{bucket}"), format!("DIRECT.GET.KV_{bucket}.$KV.{bucket}.*"));
        let listed = format!("FC.{stream}.>");
        self.asks_of(grant, &stream, ["STREAM.INFO", "CONSUMER.CREATE"])
            .publish(&self.jetstream, [values.as_str()])
            .publish("$JS", [listed.as_str()])
    }

    /// Writes a bucket; empties it, to fold everything anew.
    fn writes_bucket(&self, grant: Grant, bucket: &str) -> Grant {
        let (stream, values) = (format!("KV_{bucket}"), format!("$KV.{bucket}.*"));
        let mut grant = self.makes(self.reads_bucket(grant, bucket), &stream);
        if !self.streams.are_made {
            // The client library asks what the account may have before it makes a bucket.
            grant = grant.publish(&self.jetstream, ["INFO"]);
        }
        let grant = self.asks_of(grant, &stream, ["STREAM.PURGE"]).publish("$KV", [format!("{bucket}.*").as_str()]);
        if self.jetstream == "$JS.API" { grant } else { grant.publish(&self.jetstream, [values.as_str()]) }
    }
}

/// Owns a domain.
pub(super) fn service(acl: &Acl, Member { name, domain }: &Member) -> Grant {
    let names = acl.names();
    let (events, commands, advisories) = (names.events(domain), names.commands(domain), names.advisories(domain));
    let said = [format!("event.{domain}.>"), format!("outcome.{domain}.*.*"), format!("dead.{domain}.*.*")];
    let heard = [
        format!("command.{domain}.*.*"),
        format!("command.{domain}.*.*.*"),
        format!("event.{domain}.>"),
        format!("outcome.{domain}.*.*"),
        format!("query.{name}.*"),
        format!("health.{name}"),
        format!("discovery.{name}"),
    ];
    let clients = format!("client.{domain}.>");
    let mut grant = Grant::default()
        .publish(&acl.root, said.iter().map(String::as_str))
        .publish(&format!("_INBOX.{}", acl.world), ASKERS.into_iter().chain([clients.as_str()]))
        .subscribe(&acl.root, heard.iter().map(String::as_str))
        .found_as(name);
    for stream in [&events, &commands, &advisories] {
        grant = acl.consumes(acl.makes(grant, stream), stream);
    }
    grant = acl.asks_of(grant, &events, ["STREAM.MSG.GET", "DIRECT.GET"]);
    grant = acl.asks_of(grant, &commands, ["STREAM.MSG.GET"]);
    grant = acl.makes(grant, &names.dead_letters());
    let sinks = acl.streams.sinks.iter().filter(|sink| sink.domain == *domain);
    // The names of a domain's events begin with it.
    let grant = sinks.fold(grant, |grant, sink| grant.publish(&sink.root, [format!("{domain}.>").as_str()]));
    acl.buckets_of(domain).fold(grant, |grant, bucket| acl.writes_bucket(grant, bucket))
}

/// Gives commands of a domain, and sees what came of them.
pub(super) fn client(acl: &Acl, Member { name, domain }: &Member) -> Grant {
    let said = [format!("command.{domain}.*.*.{name}"), format!("submit.{domain}.*.*")];
    let heard = [format!("event.{domain}.>"), format!("outcome.{domain}.*.*")];
    let asked = acl.roles.iter().filter_map(|role| match role {
        Role::Service(service) if service.domain == *domain => Some(format!("query.{}.*", service.name)),
        _ => None,
    });
    let said: Vec<String> = said.into_iter().chain(asked).collect();
    let grant = Grant::default()
        .publish(&acl.root, said.iter().map(String::as_str))
        .subscribe(&acl.root, heard.iter().map(String::as_str));
    acl.buckets_of(domain).fold(grant, |grant, bucket| acl.reads_bucket(grant, bucket))
}

/// Publishes events of its systems into streams, and sees that they are there.
pub(super) fn keeps_events(grant: Grant, acl: &Acl) -> Grant {
    if acl.streams.kept_events.is_empty() {
        return grant;
    }
    let names = acl.names();
    // It asks first whether there is JetStream at all.
    let grant = grant.publish(&acl.jetstream, ["INFO"]);
    acl.streams.kept_events.iter().fold(grant, |grant, domain| {
        let stream = names.events(domain);
        // From the stream's leader: another one may be behind.
        acl.asks_of(acl.makes(grant, &stream), &stream, ["STREAM.MSG.GET"])
    })
}

/// Reads dead letters, drops them, and gives them again to who gave them up.
pub(super) fn judges_dead_letters(grant: Grant, acl: &Acl) -> Grant {
    let (domains, stream) = (acl.domains(), acl.names().dead_letters());
    if domains.is_empty() {
        return grant;
    }
    let again = domains.iter().flat_map(|domain| [format!("again.{domain}.*"), format!("submit.{domain}.*.*")]);
    let again: Vec<String> = again.collect();
    acl.asks_of(grant, &stream, ["STREAM.INFO", "STREAM.MSG.GET", "STREAM.MSG.DELETE"])
        .publish(&acl.root, again.iter().map(String::as_str))
}
