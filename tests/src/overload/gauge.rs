//! What processes and the machine use while a scenario runs (Linux).

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const EVERY: Duration = Duration::from_millis(250);
/// How long the machine is looked at to see how busy others keep it.
const LOOK: Duration = Duration::from_secs(2);
/// Clock ticks a second in `/proc` on every Linux architecture that Rust has.
const TICKS_PER_SECOND: f64 = 100.0;

/// The most that each process had resident, MiB, by its name.
pub type Most = BTreeMap<&'static str, f64>;

/// Looks at processes until it is told to stop.
#[derive(Debug)]
pub struct Gauge {
    stop: Arc<AtomicBool>,
    most: Arc<Mutex<Most>>,
    thread: Option<JoinHandle<()>>,
}

impl Gauge {
    /// Begins to look at these processes.
    #[must_use]
    pub fn of(processes: &[(&'static str, u32)]) -> Gauge {
        let (stop, most) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::default()));
        let (told, seen, processes) = (Arc::clone(&stop), Arc::clone(&most), processes.to_vec());
        let thread = std::thread::spawn(move || {
            while !told.load(Ordering::Relaxed) {
                look(&processes, &seen);
                std::thread::sleep(EVERY);
            }
        });
        Gauge {
            stop,
            most,
            thread: Some(thread),
        }
    }

    /// Stops, and says the most that was seen.
    ///
    /// # Panics
    /// When the looking thread panicked.
    #[must_use]
    pub fn end(mut self) -> Most {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the gauge");
        }
        self.most.lock().expect("the gauge").clone()
    }
}

fn look(processes: &[(&'static str, u32)], seen: &Mutex<Most>) {
    for (name, pid) in processes {
        let Some(resident) = resident_mib(*pid) else {
            continue;
        };
        let mut seen = seen.lock().expect("the gauge");
        let most = seen.entry(name).or_default();
        *most = most.max(resident);
    }
}

/// MiB of a process that are resident.
#[must_use]
pub fn resident_mib(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// Cores that the machine keeps busy, over two seconds.
#[must_use]
pub fn busy_cores() -> f64 {
    let before = busy_ticks();
    std::thread::sleep(LOOK);
    (busy_ticks() - before) / TICKS_PER_SECOND / LOOK.as_secs_f64()
}

fn busy_ticks() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let line = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = line
        .split_ascii_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    // user, nice, system, idle, iowait, irq, softirq
    let idle = |at: &usize| [3, 4].contains(at);
    let busy = ticks.iter().enumerate().filter(|(at, _)| !idle(at)).take(5);
    busy.map(|(_, ticks)| ticks).sum()
}
