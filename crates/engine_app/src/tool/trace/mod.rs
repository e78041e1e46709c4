//! What the time of ticks was spent on, from what a coordinator has recorded. Plain data in, plain data out.
//!
//! | file | what it is |
//! | --- | --- |
//! | `path.rs` | the critical path through spans that wait for one another |
//! | `spans.rs` | a recorded tick as such spans |
//! | `summary.rs` | the paths of many ticks, summed, for people |
//! | `chrome.rs` | a file that Perfetto and chrome://tracing open |

pub mod chrome;
pub mod path;
pub mod spans;
pub mod summary;
