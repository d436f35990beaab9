//! What the tests of the engines share: an instance with the ClickHouse engine alone in mind.

use std::sync::atomic::{AtomicUsize, Ordering};

use clickhouse::{Client, Compression};
use millrace_devstack::{Options, Stack};

/// An instance of its own, whatever the environment names, without tables.
pub fn stack(name: &str) -> Stack {
    let options = Options {
        name: name.to_owned(),
        environment: false,
        schema: None,
        say: |_| {},
        ..Options::default()
    };
    Stack::start(&options).unwrap()
}

/// A client of the instance's ClickHouse, in the database `default`.
pub fn client(stack: &Stack, compression: Compression) -> Client {
    let url = stack.clickhouse_url();
    let address = url.split("/?").next().unwrap();
    Client::default().with_url(address).with_compression(compression)
}

/// A table name no other test uses.
pub fn table() -> String {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    format!("t{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
