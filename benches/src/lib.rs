//! One benchmark per hop, and end to end.
