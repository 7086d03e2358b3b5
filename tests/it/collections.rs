//! Collections that know what changed: equal to std's under any history, also where user code panics in the middle.

mod deque;
mod fields;
mod histories;
mod map;
mod server;
mod set;
mod vec;
