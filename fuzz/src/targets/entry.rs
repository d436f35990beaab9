//! Stream entries: descriptions, and whole entries as a damaged stream would have them.

use super::body::through_the_worker;
use millrace_shared::Signal;
use millrace_shared::entry::Meta;

/// A description that is read is written and read again as the same.
pub fn meta(data: &[u8]) {
    let Ok(meta) = Meta::parse(data) else { return };
    let again = Meta::parse(meta.to_text().as_bytes()).expect("a description of ours is read");
    assert_eq!(again, meta);
    assert_eq!(
        (again.format(), again.encoding()),
        (meta.format(), meta.encoding())
    );
}

/// The first byte names the signal; then the description, a NUL, and the body.
///
/// Whatever it is, the worker makes rows of it or sets it aside, and counts each event once.
pub fn entry(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else {
        return;
    };
    let signal = Signal::from_number(first % 5).unwrap_or(Signal::Logs);
    let mut parts = rest.splitn(2, |byte| *byte == 0);
    let (meta, body) = (parts.next().unwrap_or(&[]), parts.next().unwrap_or(&[]));
    let output = through_the_worker(signal, meta.to_vec(), body.to_vec());
    assert_eq!(output.usage.len(), 1, "an entry is not accounted for");
    for poison in &output.poison {
        assert!(!poison.detail.is_empty());
        assert!(poison.entry == 0);
    }
    let rows: u32 = output.targets.iter().map(|target| target.rows).sum();
    let stored = output
        .usage
        .first()
        .copied()
        .flatten()
        .map_or(0, |usage| usage.stored);
    if signal == Signal::Metrics {
        assert_eq!(output.samples.len(), stored as usize);
    } else {
        assert_eq!(rows, stored);
    }
    let again = through_the_worker(signal, meta.to_vec(), body.to_vec());
    for (one, other) in output.targets.iter().zip(&again.targets) {
        assert!(one.body == other.body, "the same entry makes other rows");
    }
}
