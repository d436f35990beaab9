//! Quotas as token buckets (GCRA: one time stamp per bucket says how far ahead of its rate it is).
//! Knows rates and costs; not what is counted.

use crate::error::Problem;
use crate::metrics::QUOTA_REFUSALS;
use millrace_shared::ids::OrgId;
use millrace_shared::outcome::Refusal;
use moka::sync::Cache;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const NS_PER_S: u64 = 1_000_000_000;
const MINUTE_S: u64 = 60;
/// Addresses and owners with a bucket of their own at once; past it the longest idle start afresh.
const BUCKETS_MAX: u64 = 100_000;
/// A bucket idle for this long is full again, so forgetting it changes nothing.
const IDLE: Duration = Duration::from_secs(2 * MINUTE_S);
/// The part of an IPv6 address that one subscriber holds.
const IPV6_PREFIX_BITS: u32 = 64;

/// What a bucket counts, and so over which time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Requests of one address, a minute.
    AddressRequests,
    /// Requests, a minute.
    Requests,
    /// Events, a second.
    Events,
    /// Wire bytes, a second.
    Bytes,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Kind::AddressRequests => "address_requests",
            Kind::Requests => "requests",
            Kind::Events => "events",
            Kind::Bytes => "bytes",
        }
    }

    const fn window_s(self) -> u64 {
        match self {
            Kind::AddressRequests | Kind::Requests => MINUTE_S,
            Kind::Events | Kind::Bytes => 1,
        }
    }
}

/// The state of a quota, for the `RateLimit` headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    kind: Kind,
    limit: u64,
    remaining: u64,
    reset_s: u64,
}

impl Allowance {
    /// The value of `RateLimit-Policy`.
    pub(crate) fn policy(&self) -> String {
        let (name, window) = (self.kind.name(), self.kind.window_s());
        format!("\"{name}\";q={};w={window}", self.limit)
    }

    /// The value of `RateLimit`.
    pub(crate) fn state(&self) -> String {
        let name = self.kind.name();
        format!("\"{name}\";r={};t={}", self.remaining, self.reset_s)
    }
}

/// One bucket: as many tokens as its window's limit, refilled evenly.
#[derive(Debug)]
pub(crate) struct Bucket {
    kind: Kind,
    limit: AtomicU64,
    /// When the bucket will be full again, nanoseconds since `Quotas::start`.
    full_at: AtomicU64,
    /// Until when it is closed after a refusal, nanoseconds since `Quotas::start`.
    closed_until: AtomicU64,
}

impl Bucket {
    fn new(kind: Kind, limit: u64) -> Self {
        Bucket {
            kind,
            limit: AtomicU64::new(limit.max(1)),
            full_at: AtomicU64::new(0),
            closed_until: AtomicU64::new(0),
        }
    }

    /// Its state at `now`.
    fn allowance(&self, now: u64) -> Allowance {
        self.allowance_of(self.full_at.load(Ordering::Relaxed), now)
    }

    fn allowance_of(&self, full_at: u64, now: u64) -> Allowance {
        let (limit, window) = (self.limit.load(Ordering::Relaxed), self.window());
        let free = window.saturating_sub(full_at.saturating_sub(now));
        let tokens = u128::from(free) * u128::from(limit) / u128::from(window);
        Allowance {
            kind: self.kind,
            limit,
            remaining: u64::try_from(tokens).unwrap_or(limit),
            reset_s: full_at.saturating_sub(now).div_ceil(NS_PER_S),
        }
    }

    const fn window(&self) -> u64 {
        self.kind.window_s() * NS_PER_S
    }

    /// Takes `cost` tokens at `now`, or says when they will be there. A cost above the whole
    /// limit empties a full bucket, so that nothing is refused for ever.
    fn take(&self, cost: u64, now: u64) -> Result<Allowance, (Allowance, u64)> {
        let limit = self.limit.load(Ordering::Relaxed);
        let window = self.window();
        let spent = u128::from(cost.min(limit)) * u128::from(window) / u128::from(limit);
        let spent = u64::try_from(spent).unwrap_or(window);
        let mut full_at = self.full_at.load(Ordering::Relaxed);
        loop {
            let after = full_at.max(now) + spent;
            if after > now + window {
                let allowance = self.allowance_of(full_at, now);
                return Err((allowance, after - now - window));
            }
            match self.full_at.compare_exchange_weak(
                full_at,
                after,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Ok(self.allowance_of(after, now)),
                Err(actual) => full_at = actual,
            }
        }
    }
}

/// The three buckets of an organisation, or of a key with quotas of its own.
#[derive(Clone, Debug)]
pub(crate) struct Buckets {
    pub(crate) requests: Arc<Bucket>,
    pub(crate) events: Arc<Bucket>,
    pub(crate) bytes: Arc<Bucket>,
}

/// How much may be used; `T` is a number, or one that may be left to somebody else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates<T = u64> {
    pub(crate) requests_per_minute: T,
    pub(crate) events_per_second: T,
    pub(crate) bytes_per_second: T,
}

/// Whose bucket it is: the organisation's, or one key's where that has a quota of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Owner {
    Org(OrgId),
    Key(String),
}

/// All buckets of the process.
pub(crate) struct Quotas {
    start: Instant,
    address_limit: u64,
    addresses: Cache<IpAddr, Arc<Bucket>>,
    owners: Cache<(Owner, Kind), Arc<Bucket>>,
}

impl Quotas {
    /// With that many requests a minute from one address; 0 for no limit.
    pub(crate) fn new(address_requests_per_minute: u64) -> Self {
        Quotas {
            start: Instant::now(),
            address_limit: address_requests_per_minute,
            addresses: Cache::builder()
                .max_capacity(BUCKETS_MAX)
                .time_to_idle(IDLE)
                .build(),
            owners: Cache::builder()
                .max_capacity(BUCKETS_MAX)
                .time_to_idle(IDLE)
                .build(),
        }
    }

    /// The bucket of an owner, its limit brought up to date.
    pub(crate) fn bucket(&self, owner: Owner, kind: Kind, limit: u64) -> Arc<Bucket> {
        let bucket = self
            .owners
            .get_with((owner, kind), || Arc::new(Bucket::new(kind, limit)));
        bucket.limit.store(limit.max(1), Ordering::Relaxed);
        bucket
    }

    /// Takes `cost` tokens.
    ///
    /// # Errors
    /// 429 with the state of the quota.
    pub(crate) fn take(&self, bucket: &Bucket, cost: u64) -> Result<Allowance, Problem> {
        let now = self.now();
        bucket.take(cost, now).map_err(|(allowance, wait)| {
            bucket.closed_until.store(now + wait, Ordering::Relaxed);
            refused(bucket, allowance, wait)
        })
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX / 2)
    }

    /// Whether a bucket is open: after a refusal it is closed until the tokens that were missing
    /// are there, so that what would be refused is refused before anything is done for it, and
    /// many small costs cannot keep a large one waiting for ever.
    ///
    /// # Errors
    /// 429 with the state of the quota.
    pub(crate) fn is_open(&self, bucket: &Bucket) -> Result<(), Problem> {
        let now = self.now();
        let closed_until = bucket.closed_until.load(Ordering::Relaxed);
        if closed_until <= now {
            return Ok(());
        }
        Err(refused(bucket, bucket.allowance(now), closed_until - now))
    }

    /// Counts a request of an address.
    ///
    /// # Errors
    /// 429.
    pub(crate) fn admit_address(&self, address: IpAddr) -> Result<(), Problem> {
        if self.address_limit == 0 {
            return Ok(());
        }
        let limit = self.address_limit;
        let bucket = self.addresses.get_with(subscriber(address), || {
            Arc::new(Bucket::new(Kind::AddressRequests, limit))
        });
        self.take(&bucket, 1).map(drop)
    }
}

fn refused(bucket: &Bucket, allowance: Allowance, wait: u64) -> Problem {
    QUOTA_REFUSALS.add(&[bucket.kind.name()], 1);
    let detail = match bucket.kind {
        Kind::AddressRequests => "more requests from this address than a minute allows",
        Kind::Requests => "more requests than the quota's minute allows",
        Kind::Events => "more events than the quota's second allows",
        Kind::Bytes => "more bytes than the quota's second allows",
    };
    Problem::new(Refusal::QuotaExceeded, detail)
        .with_allowance(allowance)
        .retry_after(wait.div_ceil(NS_PER_S).max(1))
}

fn subscriber(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => {
            let mask = u128::MAX << (128 - IPV6_PREFIX_BITS);
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_limit_at_once_and_then_its_rate() {
        let bucket = Bucket::new(Kind::Requests, 60);
        for left in (0..60).rev() {
            assert_eq!(bucket.take(1, 0).unwrap().remaining, left);
        }
        let (allowance, wait) = bucket.take(1, 0).unwrap_err();
        assert_eq!((allowance.remaining, wait), (0, NS_PER_S));
        assert_eq!(allowance.policy(), "\"requests\";q=60;w=60");
        assert_eq!(allowance.state(), "\"requests\";r=0;t=60");
        assert!(bucket.take(1, NS_PER_S).is_ok());
        assert!(bucket.take(1, NS_PER_S).is_err());
    }

    #[test]
    fn a_cost_above_the_limit_passes_when_the_bucket_is_full() {
        let bucket = Bucket::new(Kind::Events, 100);
        assert!(bucket.take(1_000, 0).is_ok());
        assert!(bucket.take(1, 0).is_err());
        assert!(bucket.take(1_000, NS_PER_S).is_ok());
    }

    #[test]
    fn addresses_have_their_own_buckets_and_a_subscriber_has_one() {
        let quotas = Quotas::new(1);
        assert!(quotas.admit_address("10.0.0.1".parse().unwrap()).is_ok());
        assert!(quotas.admit_address("10.0.0.1".parse().unwrap()).is_err());
        assert!(quotas.admit_address("10.0.0.2".parse().unwrap()).is_ok());
        assert!(quotas.admit_address("2001:db8::1".parse().unwrap()).is_ok());
        assert!(
            quotas
                .admit_address("2001:db8::2".parse().unwrap())
                .is_err()
        );
        assert!(Quotas::new(0).admit_address("::1".parse().unwrap()).is_ok());
    }

    #[test]
    fn a_bucket_that_refused_is_closed_until_what_was_missing_is_there() {
        let quotas = Quotas::new(0);
        let bucket = Bucket::new(Kind::Events, 1_000);
        assert!(quotas.take(&bucket, 1_000).is_ok());
        assert!(quotas.is_open(&bucket).is_ok());
        assert!(quotas.take(&bucket, 600).is_err());
        let closed = quotas.is_open(&bucket).unwrap_err();
        assert_eq!(closed.refusal, Refusal::QuotaExceeded);
        let wait = Duration::from_nanos(bucket.closed_until.load(Ordering::Relaxed));
        assert!(wait > Duration::from_millis(500), "{wait:?}");
        bucket.closed_until.store(1, Ordering::Relaxed);
        assert!(quotas.is_open(&bucket).is_ok());
    }

    #[test]
    fn a_new_limit_takes_effect_on_the_same_bucket() {
        let quotas = Quotas::new(0);
        let owner = || Owner::Key("k".to_owned());
        let first = quotas.bucket(owner(), Kind::Requests, 1);
        assert!(quotas.take(&first, 1).is_ok());
        assert!(quotas.take(&first, 1).is_err());
        quotas.bucket(owner(), Kind::Requests, 1_000);
        assert!(quotas.take(&first, 1).is_err(), "spent for its minute");
        assert_eq!(first.limit.load(Ordering::Relaxed), 1_000);
    }
}
