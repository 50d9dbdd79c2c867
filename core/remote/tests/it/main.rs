//! Sessions to real OpenSSH servers: processes of the tests' own, on ports of loopback.

mod bed;
mod cuts;
mod derived;
mod execs;
mod refusals;
mod relay;
mod streams;
