//! What did the mistake in this program say?  A panic of the packet path is told to Python's log, not to standard error.

use std::cell::RefCell;
use std::panic;
use std::sync::Once;
use std::thread;

/// What the names of the packet path's threads begin with.
pub const THREAD: &str = "fastpath-";

thread_local! {
    static LAST: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Keep what the panics of the packet path's threads say; those of others are reported as before.
pub fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if thread::current()
                .name()
                .is_some_and(|name| name.starts_with(THREAD))
            {
                LAST.with(|last| *last.borrow_mut() = info.to_string());
            } else {
                before(info);
            }
        }));
    });
}

/// What the last one of this thread has said.
#[must_use]
pub fn last() -> String {
    LAST.with(RefCell::take)
}
