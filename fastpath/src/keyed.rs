//! The keyed hash: SipHash-2-4 under a key derived from the pair's secret, one byte in front for the use (`dispatcher.keyed`).

/// 16 bytes, derived from a secret.
pub type Key = [u8; 16];
