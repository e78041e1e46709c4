//! What a user may publish and subscribe.

/// Lists of subjects, with wildcards. What is in none of them is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grant {
    /// May be published on.
    pub publish: Vec<String>,
    /// May not, though the list before says so.
    pub publish_never: Vec<String>,
    /// May be subscribed.
    pub subscribe: Vec<String>,
}

impl Grant {
    /// Subjects below a root that may be published on.
    pub(super) fn publish<'s>(mut self, root: &str, subjects: impl IntoIterator<Item = &'s str>) -> Self {
        self.publish.extend(subjects.into_iter().map(|subject| format!("{root}.{subject}")));
        self
    }

    /// Subjects below a root that may not be published on.
    pub(super) fn publish_never<'s>(mut self, root: &str, subjects: impl IntoIterator<Item = &'s str>) -> Self {
        self.publish_never.extend(subjects.into_iter().map(|subject| format!("{root}.{subject}")));
        self
    }

    /// Subjects below a root that may be subscribed.
    pub(super) fn subscribe<'s>(mut self, root: &str, subjects: impl IntoIterator<Item = &'s str>) -> Self {
        self.subscribe.extend(subjects.into_iter().map(|subject| format!("{root}.{subject}")));
        self
    }

    /// Answers arrive here, and nobody else's do. A message to oneself is how one knows that the server has read all that
    /// was sent before.
    pub(super) fn inbox(mut self, inbox: &str) -> Self {
        self.publish.push(format!("{inbox}.>"));
        self.subscribe.push(format!("{inbox}.>"));
        self
    }

    /// Is found as a service of this name, by whoever may ask the services framework.
    pub(super) fn found_as(self, name: &str) -> Self {
        let verbs = ["PING", "INFO", "STATS"];
        let all = verbs.map(|verb| [verb.to_owned(), format!("{verb}.{name}"), format!("{verb}.{name}.*")]);
        self.subscribe("$SRV", all.iter().flatten().map(String::as_str))
    }

    /// Asks the services framework.
    pub(super) fn asks_services(self) -> Self {
        self.publish("$SRV", ["PING", "PING.>", "INFO", "INFO.>", "STATS", "STATS.>"])
    }
}
