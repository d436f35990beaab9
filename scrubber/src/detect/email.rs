//! E-mail addresses, around their at sign.
use crate::class::Class;
use crate::spans::Span;

pub(crate) fn at(text: &[u8], at: usize) -> Option<Span> {
    let local = text
        .get(..at)?
        .iter()
        .rev()
        .take_while(|b| b.is_ascii_alphanumeric() || b"._%+-".contains(b))
        .count();
    let domain = text
        .get(at + 1..)?
        .iter()
        .take_while(|b| b.is_ascii_alphanumeric() || b".-".contains(b))
        .count();
    (local > 0 && domain > 3 && text.get(at) == Some(&b'@'))
        .then(|| Span::new(Class::Email, at - local, at + 1 + domain))
}
