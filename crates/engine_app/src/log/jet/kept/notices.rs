//! What the coordinator's thread is told: what is stored, and why something waits.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use crossbeam_channel::Sender;

use super::KeptNews;

/// News of the reign that began last; without one nobody is told anything.
pub(super) struct Notices {
    news: Sender<(u64, KeptNews)>,
    wake: Box<dyn Fn() + Send>,
    reign: Cell<Option<u64>>,
    /// Why something waits, by what does.
    troubles: RefCell<BTreeMap<String, String>>,
    /// What was told of them last.
    told: RefCell<Option<String>>,
}

impl Notices {
    pub(super) fn new(news: Sender<(u64, KeptNews)>, wake: Box<dyn Fn() + Send>) -> Self {
        Self { news, wake, reign: Cell::default(), troubles: RefCell::default(), told: RefCell::default() }
    }

    /// A reign begins, or is over: nobody knows of troubles yet.
    pub(super) fn begin(&self, reign: Option<u64>) {
        self.reign.set(reign);
        self.troubles.borrow_mut().clear();
        self.told.replace(None);
    }

    pub(super) fn stored(&self, tick: u64) {
        self.tell(KeptNews::Stored { tick });
    }

    pub(super) fn trouble(&self, what: &str, why: String) {
        self.troubles.borrow_mut().insert(what.to_owned(), why);
        self.tell_troubles();
    }

    pub(super) fn no_trouble(&self, what: &str) {
        if self.troubles.borrow_mut().remove(what).is_some() {
            self.tell_troubles();
        }
    }

    /// One of them, when it is another one than before.
    fn tell_troubles(&self) {
        let trouble = self.troubles.borrow().values().next().cloned();
        if self.told.replace(trouble.clone()) != trouble {
            self.tell(KeptNews::Trouble(trouble));
        }
    }

    fn tell(&self, news: KeptNews) {
        if let Some(reign) = self.reign.get() {
            // Without a receiver nobody wants to know.
            let _ = self.news.send((reign, news));
            (self.wake)();
        }
    }
}
