//! What a handler decides: an answer, and what happened.

use engine_component::Event;

use crate::outcome::{MAX_EVENTS, OutcomeEvent};

/// An answer, and the events that follow from the command. A refusal is an answer too: it is stored, and stays the same
/// however often it is asked for.
///
/// ```
/// use engine_component::Event;
/// use engine_service::command::Decision;
///
/// #[derive(Event)]
/// #[event(name = "shop.Opened")]
/// struct Opened;
///
/// let decision = Decision::answer("welcome").event(&Opened);
/// assert_eq!(decision.events(), 1);
/// ```
#[derive(Clone, Debug)]
pub struct Decision<T> {
    pub(super) answer: T,
    pub(super) events: Result<Vec<OutcomeEvent>, String>,
}

impl<T> Decision<T> {
    /// Nothing happens, and this is the answer.
    #[must_use]
    pub fn answer(answer: T) -> Self {
        Self { answer, events: Ok(Vec::new()) }
    }

    /// And this happened. One that its own type refuses makes the whole decision void: the command is answered with
    /// `internal`, and nothing is stored.
    #[must_use]
    pub fn event<E: Event>(mut self, event: &E) -> Self {
        if let Ok(events) = &mut self.events {
            match OutcomeEvent::of(event) {
                Ok(_) if events.len() == MAX_EVENTS => {
                    self.events = Err(format!("more than {MAX_EVENTS} events"));
                }
                Ok(event) => events.push(event),
                Err(reason) => self.events = Err(format!("`{}`: {reason}", E::NAME)),
            }
        }
        self
    }

    /// How many events there are.
    #[must_use]
    pub fn events(&self) -> usize {
        self.events.as_ref().map_or(0, Vec::len)
    }
}

#[cfg(test)]
mod tests {
    use engine_component::Invalid;

    use super::*;

    #[derive(Event)]
    #[event(name = "t.Fine")]
    struct Fine;

    #[derive(Event)]
    #[event(name = "t.Never", validate = never)]
    struct Never;

    fn never(_: &Never) -> Result<(), Invalid> {
        Err(Invalid::new("it can't be"))
    }

    #[test]
    fn a_bad_event_makes_the_decision_void() {
        let decision = Decision::answer(()).event(&Fine).event(&Never).event(&Fine);
        assert_eq!(decision.events.unwrap_err(), "`t.Never`: it can't be");
    }

    #[test]
    fn events_are_bounded() {
        let most = (0..MAX_EVENTS).fold(Decision::answer(()), |decision, _| decision.event(&Fine));
        assert_eq!(most.events(), MAX_EVENTS);
        assert!(most.event(&Fine).events.is_err());
    }
}
