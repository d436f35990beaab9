//! HTTP body to verified envelope to stream entry.
