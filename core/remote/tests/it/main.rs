//! Sessions to real OpenSSH servers: processes of the tests' own, on ports of loopback.

mod bed;
mod execs;
