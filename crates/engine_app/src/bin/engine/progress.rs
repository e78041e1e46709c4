//! What is done of something that takes long.

pub(crate) use engine_app::tool::progress::Progress;
