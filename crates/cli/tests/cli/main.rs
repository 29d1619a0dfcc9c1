//! The command as its users meet it: what it prints, what it leaves behind, how it ends.

mod bench;
mod check;
mod command;
mod configs;
mod dashboard;
mod data;
mod download;
mod full_disk;
mod kills;
mod manual;
mod predict;
mod runs;
