//! How each engine is started: its directory, its configuration, its command line. Never waits.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command};

use crate::error::Doing;
use crate::install::Root;
use crate::process::{logged, spawn};
use crate::{Engine, Error};

/// What an engine is started with.
pub(crate) struct Launch<'a> {
    pub(crate) root: &'a Root,
    pub(crate) engine: Engine,
    /// The engine's own directory; `/srv` for the engine.
    pub(crate) data: &'a Path,
    pub(crate) log: &'a Path,
    pub(crate) port: u16,
    /// True when the engine must not outlive this process.
    pub(crate) follow: bool,
    pub(crate) password: &'a str,
}

impl Launch<'_> {
    /// Prepares the directory and starts the engine.
    pub(crate) fn start(&self) -> Result<Child, Error> {
        self.prepare()
            .doing(|| format!("cannot prepare {}", self.data.display()))?;
        let program: Vec<String> = match self.engine {
            Engine::Redis => redis(self.port),
            Engine::Clickhouse => clickhouse(self.port),
            Engine::Postgres => postgres(),
        };
        let mut command = self.inside(self.follow);
        command.args(program);
        logged(&mut command, self.log).doing(|| format!("cannot write {}", self.log.display()))?;
        spawn(command).doing(|| format!("cannot start {}", self.engine))
    }

    /// A command inside the engine root, in a session of its own: Ctrl-C does not reach it.
    fn inside(&self, follow: bool) -> Command {
        let mut command = Command::new("setsid");
        command.args([
            "unshare",
            "--mount",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
        ]);
        command.args([include_str!("../scripts/enter.sh"), "enter"]);
        command
            .arg(self.root.path())
            .arg(self.data)
            .arg(if follow { "yes" } else { "no" });
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .env("HOME", "/srv");
        command
    }

    fn prepare(&self) -> std::io::Result<()> {
        let fresh = !self.data.join("data").exists();
        fs::create_dir_all(self.data.join("tmp"))?;
        match self.engine {
            Engine::Redis => fs::create_dir_all(self.data.join("data"))?,
            Engine::Clickhouse => {
                fs::create_dir_all(self.data.join("data"))?;
                fs::write(
                    self.data.join("front.py"),
                    include_str!("../clickhouse_front.py"),
                )?;
                fs::write(self.data.join("config.xml"), CLICKHOUSE_CONFIG)?;
            }
            Engine::Postgres => {
                if fresh {
                    self.copy_cluster()?;
                }
                fs::write(
                    self.data.join("data/postgresql.conf"),
                    postgres_config(self.port),
                )?;
            }
        }
        let (user, group) = account(self.root)?;
        for name in ["", "tmp", "data"] {
            chown(self.data.join(name), Some(user), Some(group))?;
        }
        if fresh && self.engine == Engine::Postgres {
            self.set_password()?;
        }
        fs::set_permissions(self.data, fs::Permissions::from_mode(0o700))
    }

    /// The template, under a name that is only right once the copy is whole.
    fn copy_cluster(&self) -> std::io::Result<()> {
        let copy = self.data.join("copying");
        let _none = fs::remove_dir_all(&copy);
        let template = self.root.path().join("opt/cluster");
        succeed(
            Command::new("cp")
                .args(["-a", "--reflink=auto"])
                .arg(template)
                .arg(&copy),
        )?;
        fs::rename(copy, self.data.join("data"))
    }

    /// Single-user mode: before the server listens nobody else can have set another password.
    fn set_password(&self) -> std::io::Result<()> {
        let statement = format!("ALTER ROLE millrace PASSWORD '{}';\n", self.password);
        fs::write(self.data.join("tmp/password.sql"), statement)?;
        let mut command = self.inside(false);
        let script = format!("{POSTGRES} --single -D /srv/data postgres < /tmp/password.sql");
        command.args(["sh", "-c", &script]);
        let done = succeed(&mut command);
        fs::remove_file(self.data.join("tmp/password.sql"))?;
        done
    }
}

fn succeed(command: &mut Command) -> std::io::Result<()> {
    let output = command.output()?;
    if output.status.success() {
        return Ok(());
    }
    Err(std::io::Error::other(
        String::from_utf8_lossy(&output.stderr).into_owned(),
    ))
}

/// User and group of the account that the installation made for the engines.
fn account(root: &Root) -> std::io::Result<(u32, u32)> {
    let accounts = fs::read_to_string(root.path().join("etc/passwd"))?;
    let mut fields = accounts
        .lines()
        .find_map(|line| line.strip_prefix("millrace:x:"))
        .into_iter()
        .flat_map(|rest| rest.split(':'))
        .filter_map(|field| field.parse().ok());
    match (fields.next(), fields.next()) {
        (Some(user), Some(group)) => Ok((user, group)),
        _ => Err(std::io::Error::other(
            "the engine root has no account for the engines",
        )),
    }
}

const POSTGRES: &str = "/usr/lib/postgresql/17/bin/postgres";

/// The settings delivery needs (fsync before the answer, nothing evicted), the same as compose's.
fn redis(port: u16) -> Vec<String> {
    let port = port.to_string();
    let arguments = [
        "/usr/bin/redis-server",
        "--port",
        &port,
        "--bind",
        "127.0.0.1",
        "--dir",
        "/srv/data",
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--save",
        "",
        "--maxmemory",
        "1gb",
        "--maxmemory-policy",
        "noeviction",
    ];
    arguments.map(str::to_owned).to_vec()
}

fn clickhouse(port: u16) -> Vec<String> {
    let port = port.to_string();
    let arguments = [
        "/opt/chdb/bin/python",
        "-u",
        "/srv/front.py",
        "--data",
        "/srv/data",
        "--config",
        "/srv/config.xml",
        "--port",
        &port,
    ];
    arguments.map(str::to_owned).to_vec()
}

fn postgres() -> Vec<String> {
    [POSTGRES, "-D", "/srv/data"].map(str::to_owned).to_vec()
}

/// A small machine shares its memory between three engines and the services.
const CLICKHOUSE_CONFIG: &str = "<clickhouse>
    <timezone>UTC</timezone>
    <max_server_memory_usage_to_ram_ratio>0.4</max_server_memory_usage_to_ram_ratio>
    <mark_cache_size>268435456</mark_cache_size>
    <uncompressed_cache_size>0</uncompressed_cache_size>
    <background_pool_size>4</background_pool_size>
    <background_schedule_pool_size>8</background_schedule_pool_size>
</clickhouse>
";

fn postgres_config(port: u16) -> String {
    format!(
        "# Written by devstack at every start.
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '/srv'
max_connections = 200
shared_preload_libraries = 'timescaledb'
timescaledb.telemetry_level = off
timescaledb.max_background_workers = 4
max_worker_processes = 16
max_locks_per_transaction = 256
synchronous_commit = on
fsync = on
shared_buffers = 256MB
work_mem = 8MB
maintenance_work_mem = 128MB
effective_cache_size = 1GB
max_wal_size = 2GB
jit = off
password_encryption = scram-sha-256
timezone = 'UTC'
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
"
    )
}
