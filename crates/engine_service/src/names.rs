//! Which stream holds what, and on which subjects.
//!
//! | stream | subjects, below `<prefix>.<world>.` | holds |
//! | --- | --- | --- |
//! | `ENGINE_EVENT_<world>_<domain>` | `event.<domain>.>`, `outcome.<domain>.<aggregate>.<key>`, `again.<domain>.<consumer>` | events, outcomes of commands, dead letters that are tried again |
//! | `ENGINE_COMMAND_<world>_<domain>` | `submit.<domain>.<aggregate>.<action>` | commands that nobody waits for, until they are handled |
//! | `ENGINE_ADVISORY_<world>_<domain>` | the server's advisories about consumers of the two above | what the collector of dead letters has to look at |
//! | `ENGINE_DLQ_<world>` | `dead.<domain>.<consumer>.<sequence>` | dead letters |
//!
//! A domain is the first token of the names of its events and commands. Requests have no stream:
//! `command.<domain>.<aggregate>.<action>`, where the asker's identity may follow, and `query.<service>.<name>`.

use engine_net::Subjects;
use engine_net::name::{self, NameError};
use engine_net::streams;

use crate::ServiceError;

/// The names of one world's streams and subjects.
#[derive(Clone, Debug)]
pub struct Names {
    subjects: Subjects,
}

impl Names {
    /// Of the world of these subjects.
    #[must_use]
    pub fn new(subjects: Subjects) -> Self {
        Self { subjects }
    }

    /// The world's other subjects.
    #[must_use]
    pub fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    fn of(&self, rest: &str) -> String {
        format!("{}.{rest}", self.subjects.root())
    }

    fn stream(&self, kind: &str, domain: &str) -> String {
        format!("ENGINE_{kind}_{}_{domain}", self.subjects.world())
    }

    /// The stream of a domain's events.
    #[must_use]
    pub fn events(&self, domain: &str) -> String {
        streams::events_name(self.subjects.world(), domain)
    }

    /// The stream of a domain's submitted commands.
    #[must_use]
    pub fn commands(&self, domain: &str) -> String {
        self.stream("COMMAND", domain)
    }

    /// The stream of advisories about the two.
    #[must_use]
    pub fn advisories(&self, domain: &str) -> String {
        self.stream("ADVISORY", domain)
    }

    /// The stream of the world's dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> String {
        format!("ENGINE_DLQ_{}", self.subjects.world())
    }

    /// Where an event, or all that a pattern names, is published.
    #[must_use]
    pub fn event(&self, pattern: &str) -> String {
        self.of(&format!("event.{pattern}"))
    }

    /// Where the outcomes of the commands for one aggregate are.
    #[must_use]
    pub fn outcome(&self, domain: &str, aggregate: &str, key: &str) -> String {
        self.of(&format!("outcome.{domain}.{aggregate}.{key}"))
    }

    /// Where the commands for one kind of aggregate are asked for: by nobody in particular, and by somebody whose name
    /// is behind it.
    #[must_use]
    pub fn requests(&self, domain: &str, aggregate: &str) -> [String; 2] {
        let all = self.of(&format!("command.{domain}.{aggregate}.*"));
        [all.clone(), all + ".*"]
    }

    /// Where a command is submitted to.
    #[must_use]
    pub fn submit(&self, domain: &str, aggregate: &str, action: &str) -> String {
        self.of(&format!("submit.{domain}.{aggregate}.{action}"))
    }

    /// What one consumer alone is given once more.
    #[must_use]
    pub fn again(&self, domain: &str, consumer: &str) -> String {
        self.of(&format!("again.{domain}.{consumer}"))
    }

    /// Where a dead letter is.
    #[must_use]
    pub fn dead(&self, domain: &str, consumer: &str, sequence: &str) -> String {
        self.of(&format!("dead.{domain}.{consumer}.{sequence}"))
    }

    /// Where a query is asked.
    #[must_use]
    pub fn query(&self, service: &str, query: &str) -> String {
        self.of(&format!("query.{service}.{query}"))
    }

    /// The rest of a subject of this world behind one of these words.
    #[must_use]
    pub fn behind<'s>(&self, word: &str, subject: &'s str) -> Option<&'s str> {
        subject.strip_prefix(self.subjects.root())?.strip_prefix('.')?.strip_prefix(word)?.strip_prefix('.')
    }
}

/// Names of events: one, or several by wildcards, always of one domain.
///
/// ```
/// use engine_service::names::Pattern;
///
/// let all = Pattern::new("shop.>").unwrap();
/// assert!(all.matches("shop.Purchased") && !all.matches("arena.Damage"));
/// assert!(Pattern::new(">").is_err(), "which domain?");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern(String);

impl Pattern {
    /// A name, in which `*` stands for one token and `>` at the end for all that follow. The first token is the domain,
    /// and no wildcard.
    ///
    /// # Errors
    /// When it is something else.
    pub fn new(pattern: &str) -> Result<Self, ServiceError> {
        let mut tokens = pattern.split('.');
        let domain = tokens.next().unwrap_or_default();
        let rest: Vec<_> = tokens.collect();
        let last = rest.len().saturating_sub(1);
        let fine =
            |(at, token): (usize, &&str)| name::is_token(token) || *token == "*" || (*token == ">" && at == last);
        let is_one = pattern.len() <= name::MAX_DOTTED && name::is_token(domain) && rest.iter().enumerate().all(fine);
        if is_one && !rest.is_empty() {
            return Ok(Self(pattern.to_owned()));
        }
        let shown = pattern.chars().take(name::MAX_TOKEN).flat_map(char::escape_default).collect();
        let rule = "use a name as in shop.Purchased; * stands for a token behind the first, > for all at the end";
        Err(NameError { what: "pattern of events", name: shown, rule }.into())
    }

    /// The domain.
    #[must_use]
    pub fn domain(&self) -> &str {
        self.0.split('.').next().unwrap_or_default()
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a name is one of those.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        let mut names = name.split('.');
        for token in self.0.split('.') {
            match (token, names.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (token, Some(name)) if token == name => {}
                _ => return false,
            }
        }
        names.next().is_none()
    }
}

/// Checks the key of an aggregate, which becomes the last token of a subject.
pub(crate) fn key(key: &str) -> Result<(), NameError> {
    name::token("key of an aggregate", key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_are_those_of_subjects() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        for (pattern, name) in
            [("a.b", "a.b"), ("a.*", "a.b"), ("a.>", "a.b.c"), ("a.*.c", "a.b.c"), ("a.b.>", "a.b.c")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("a.b", "a.c"), ("a.*", "a.b.c"), ("a.>", "a"), ("a.b.>", "a.b"), ("a.b", "a.b.c")] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
        for bad in ["", "a", ">", "*.a", "a.>.b", "a..b", "a.b c", "a.b\r\n", &format!("a.{}", "x".repeat(200))] {
            assert!(Pattern::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_subject_here_is_one_of_the_worlds() {
        let subjects = Subjects::new("engine", "arena").unwrap();
        let names = Names::new(subjects.clone());
        for mine in [
            names.outcome("shop", "player", "ada"),
            names.submit("shop", "player", "purchase"),
            names.again("shop", "webhook"),
            names.dead("shop", "webhook", "7"),
            names.query("shop", "balance"),
        ] {
            assert_eq!(subjects.parse(&mine), None, "{mine}");
            assert!(subjects.covers(&mine), "so that nobody has it as a reply subject");
        }
        assert_eq!(names.behind("dead", &names.dead("shop", "webhook", "7")), Some("shop.webhook.7"));
        assert_eq!(names.events("shop"), "ENGINE_EVENT_arena_shop");
    }
}
