//! An Entity Component System whose systems run anywhere.
