//! Fail points: named places at which a process can be made to end at once, as if killed, to prove
//! that every one of them is safe.
//!
//! They exist in builds with debug assertions only. In a release build a place costs nothing and the
//! setting that arms one is refused. Nothing else ever depends on a probe.

use millrace_shared::settings::{Settings, SettingsError};
use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The setting that arms a fail point: `name`, or `name:N` for the N-th time it is passed.
pub const SETTING: &str = "MILLRACE_FAIL_POINT";
/// How far into a step its middle is: the request is on its way, a store needs longer to answer.
const MIDWAY: Duration = Duration::from_millis(2);

/// The fail points of one service: a closed list with a name for each.
pub trait Place: Copy + Eq + Debug + 'static {
    /// All of them, in the order in which data meets them.
    const ALL: &'static [Self];

    /// The name by which it is armed.
    fn name(self) -> &'static str;
}

/// Ends the process at one place, or does nothing.
#[derive(Clone, Debug)]
pub struct Probe<P>(Option<Arc<Fuse<P>>>);

#[derive(Debug)]
struct Fuse<P> {
    place: P,
    /// Passings left, the fatal one included.
    left: AtomicU32,
}

impl<P> Default for Probe<P> {
    fn default() -> Self {
        Probe(None)
    }
}

impl<P: Place> Probe<P> {
    /// What the setting asks for.
    ///
    /// # Errors
    /// When it names no place, outside the development profile, or in a release build.
    pub fn read(settings: &Settings) -> Result<Self, SettingsError> {
        let text = settings.text(SETTING)?;
        if text.is_empty() {
            return Ok(Probe::default());
        }
        let unusable = |problem: String| SettingsError::Unusable {
            name: SETTING,
            problem,
        };
        if !cfg!(debug_assertions) {
            let problem = "needs a build with debug assertions: release builds have no fail points";
            return Err(unusable(problem.to_owned()));
        }
        if !settings.development()? {
            return Err(unusable("is for the development profile only".to_owned()));
        }
        Self::parse(text).ok_or_else(|| {
            let names: Vec<_> = P::ALL.iter().map(|place| place.name()).collect();
            unusable(format!(
                "must be one of {}, with `:N` for the N-th passing",
                names.join(", ")
            ))
        })
    }

    fn parse(text: &str) -> Option<Self> {
        let (name, passing) = text.split_once(':').unwrap_or((text, "1"));
        let place = *P::ALL.iter().find(|place| place.name() == name)?;
        let left: u32 = passing.parse().ok().filter(|passing| *passing > 0)?;
        Some(Probe(Some(Arc::new(Fuse {
            place,
            left: AtomicU32::new(left),
        }))))
    }

    /// Called on the way through a place.
    pub fn at(&self, here: P) {
        if cfg!(debug_assertions) && self.is_fatal(here) {
            // As `kill -9`: no unwinding, no destructor, nothing flushed.
            std::process::abort();
        }
    }

    /// Runs a step whose middle is a place.
    pub async fn during<T>(&self, here: P, step: impl Future<Output = T>) -> T {
        if !self.waits_for(here) {
            return step.await;
        }
        tokio::pin!(step);
        let early = tokio::select! {
            biased;
            done = &mut step => Some(done),
            () = tokio::time::sleep(MIDWAY) => None,
        };
        self.at(here);
        match early {
            Some(done) => done,
            None => step.await,
        }
    }

    fn waits_for(&self, here: P) -> bool {
        cfg!(debug_assertions) && self.0.as_ref().is_some_and(|fuse| fuse.place == here)
    }

    fn is_fatal(&self, here: P) -> bool {
        self.0.as_ref().is_some_and(|fuse| {
            fuse.place == here && fuse.left.fetch_sub(1, Ordering::Relaxed) == 1
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Step {
        First,
        Second,
    }

    impl Place for Step {
        const ALL: &'static [Step] = &[Step::First, Step::Second];

        fn name(self) -> &'static str {
            match self {
                Step::First => "first",
                Step::Second => "second",
            }
        }
    }

    #[test]
    fn only_the_named_passing_of_the_named_place_is_fatal() {
        let probe = Probe::<Step>::parse("second:3").unwrap();
        let fatal: Vec<bool> = [Step::First, Step::Second, Step::Second, Step::Second]
            .map(|step| probe.is_fatal(step))
            .to_vec();
        assert_eq!(fatal, [false, false, false, true]);
        assert!(!Probe::<Step>::default().is_fatal(Step::First));
    }

    #[test]
    fn what_is_no_place_is_refused_with_the_list_of_places() {
        let read = |value: &str, profile: &str| {
            let vars = [("MILLRACE_PROFILE", profile), (SETTING, value)];
            let vars = vars.map(|(name, value)| (name.to_owned(), value.to_owned()));
            Probe::<Step>::read(&Settings::from_vars(vars).unwrap())
        };
        assert!(read("", "production").unwrap().0.is_none());
        assert!(read("first", "development").unwrap().0.is_some());
        let production = read("first", "production").unwrap_err().to_string();
        assert!(production.contains("development profile"), "{production}");
        for wrong in ["third", "first:0", "first:x", ":1", "first:"] {
            let refused = read(wrong, "development").unwrap_err().to_string();
            assert!(refused.contains("first, second"), "{wrong}: {refused}");
        }
    }

    #[tokio::test]
    async fn a_step_that_is_not_waited_for_just_runs() {
        let probe = Probe::<Step>::parse("first").unwrap();
        assert_eq!(probe.during(Step::Second, async { 7 }).await, 7);
    }
}
