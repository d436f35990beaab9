//! Instances: side by side, restarted with their data, gone with their owner.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that cannot go on fails its test where it stands"
)]

mod common;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use common::stack;
use millrace_devstack::{Engine, Options, Stack, place};

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(120);
    while !done() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn redis(stack: &Stack, command: &str) -> String {
    use std::io::{Read, Write};
    let url = stack.redis_url();
    let mut stream = std::net::TcpStream::connect(url.trim_start_matches("redis://")).unwrap();
    stream
        .write_all(format!("{command}\r\nQUIT\r\n").as_bytes())
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.replace("+OK\r\n", "")
}

#[test]
fn two_instances_run_side_by_side_and_engines_keep_their_data_over_a_kill() {
    let (mut one, mut two) = (stack("one"), stack("two"));
    redis(&one, "SET name one");
    redis(&two, "SET name two");
    for engine in Engine::ALL {
        assert_ne!(one.url(engine), two.url(engine));
        one.kill(engine).unwrap();
        assert!(!one.serves(engine) && two.serves(engine));
        one.resume(engine).unwrap();
        assert!(one.serves(engine));
    }
    two.restart(Engine::Redis).unwrap();
    assert_eq!(redis(&one, "GET name"), "$3\r\none\r\n");
    assert_eq!(redis(&two, "GET name"), "$3\r\ntwo\r\n");
    assert!(redis(&one, "CONFIG GET appendfsync").contains("always"));
    assert!(redis(&one, "CONFIG GET maxmemory-policy").contains("noeviction"));
    one.stop().unwrap();
    two.stop().unwrap();
    assert!(Engine::ALL.iter().all(|engine| one.pid(*engine).is_none()));
}

/// A backend that computes does not see that its server was killed, and keeps the next one from starting.
#[test]
fn postgresql_comes_back_though_a_process_of_the_killed_one_is_at_work() {
    const WORK: &str = "DO $$ DECLARE ends timestamptz := clock_timestamp() + interval '4 s'; \
                        BEGIN WHILE clock_timestamp() < ends LOOP END LOOP; END $$";
    let stack = stack("busy-backend");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let url = stack.postgres_url();
    let connect = async || {
        let connected = tokio_postgres::connect(&url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.unwrap();
        tokio::spawn(connection);
        client
    };
    let (worker, watch) = runtime.block_on(async { (connect().await, connect().await) });
    let work = runtime.spawn(async move { worker.batch_execute(WORK).await });
    wait_until("nothing is at work", || {
        let sql = "SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'DO %'";
        !runtime.block_on(watch.query(sql, &[])).unwrap().is_empty()
    });
    stack.kill(Engine::Postgres).unwrap();
    stack.resume(Engine::Postgres).unwrap();
    assert!(stack.serves(Engine::Postgres));
    drop(work);
}

/// A process whose command line, directory or children could betray that an instance still lives.
fn processes_of(instance: &str) -> usize {
    let listed = Command::new("ps")
        .args(["-eo", "pid=,args="])
        .output()
        .unwrap();
    String::from_utf8_lossy(&listed.stdout)
        .lines()
        .filter(|line| line.contains(instance))
        .count()
}

/// Starts `devstack exec` with a command that tells the ports, and returns it with them.
fn exec(schema: &Path, target: &Path) -> (std::process::Child, Vec<u16>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_devstack"))
        .arg("--schema")
        .arg(schema)
        .args(["exec", "sh", "-c", "echo $MILLRACE_REDIS_URL $MILLRACE_CLICKHOUSE_URL $MILLRACE_POSTGRES_URL; exec sleep 1000"])
        .env("CARGO_TARGET_DIR", target)
        .env_remove("MILLRACE_REDIS_URL")
        .env_remove("MILLRACE_CLICKHOUSE_URL")
        .env_remove("MILLRACE_POSTGRES_URL")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let port = |url: &str| {
        let after = url.rsplit_once(':').unwrap().1;
        after.split('/').next().unwrap().parse().unwrap()
    };
    let ports = line.split_whitespace().map(port).collect();
    (child, ports)
}

fn listens(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A folder with the one table that the migration itself needs; written once, for tests beside this one read it.
fn schema() -> PathBuf {
    static WRITTEN: LazyLock<PathBuf> = LazyLock::new(write_schema);
    WRITTEN.clone()
}

fn write_schema() -> PathBuf {
    let folder = place::state().join("test-schema");
    std::fs::create_dir_all(folder.join("timescale-init")).unwrap();
    std::fs::create_dir_all(folder.join("clickhouse-init")).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS schema_migration (store text, name text, sha256 text, \
                 applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (store, name));";
    std::fs::write(folder.join("timescale-init/000_migrations.sql"), table).unwrap();
    let database = "CREATE DATABASE IF NOT EXISTS millrace;\n";
    std::fs::write(folder.join("clickhouse-init/000_database.sql"), database).unwrap();
    folder
}

#[test]
fn an_instance_ends_with_its_owner_whichever_way_it_ends() {
    let schema = schema();
    let target = place::state().join(format!("owner-{}", std::process::id()));
    for signal in ["-KILL", "-TERM"] {
        let (mut owner, ports) = exec(&schema, &target);
        assert_eq!(ports.len(), 3);
        assert!(ports.iter().all(|port| listens(*port)));
        let id = owner.id().to_string();
        assert!(
            Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        owner.wait().unwrap();
        wait_until("an engine outlives its owner", || {
            !ports.iter().any(|port| listens(*port))
        });
    }
    let instances = target.join("millrace/instances");
    let left = || std::fs::read_dir(&instances).unwrap().count();
    wait_until("data outlives its owner", || left() == 0);
    std::fs::remove_dir_all(target).unwrap();
}

#[test]
fn the_command_of_exec_decides_the_exit_code() {
    let devstack = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_devstack"));
        command.arg("--schema").arg(schema());
        command.stderr(Stdio::null());
        command
    };
    let status = devstack()
        .args(["exec", "sh", "-c", "exit 7"])
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(7));
}

#[test]
fn a_kept_instance_goes_on_without_its_starter_and_keeps_its_data() {
    let directory = place::state().join(format!("kept-{}", std::process::id()));
    let options = Options {
        name: "kept".to_owned(),
        keep: Some(directory.clone()),
        environment: false,
        schema: Some(schema()),
        say: |_| {},
        ..Options::default()
    };
    let first = Stack::start(&options).unwrap();
    let urls = first.settings();
    redis(&first, "SET kept yes");
    drop(first);
    let mut attached = Stack::attach(&directory).unwrap();
    assert!(Engine::ALL.iter().all(|engine| attached.serves(*engine)));
    assert_eq!(attached.settings(), urls);
    attached.stop().unwrap();
    let mut again = Stack::start(&options).unwrap();
    assert_eq!(again.settings(), urls);
    assert_eq!(redis(&again, "GET kept"), "$3\r\nyes\r\n");
    again.stop().unwrap();
    wait_until("a process of it is left", || {
        processes_of(&directory.display().to_string()) == 0
    });
    std::fs::remove_dir_all(directory).unwrap();
}
