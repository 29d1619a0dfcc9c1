//! The command as its users meet it: what it prints, what it leaves behind, how it ends.

mod bench;
mod check;
mod command;
mod configs;
mod data;
mod download;
mod kills;
mod manual;
mod predict;
mod runs;
