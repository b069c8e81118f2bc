//! Weights of a layer, in the order that its [`Layer`](crate::Layer) documents.

use crate::quant::Channel;

/// Weights of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// One for each output channel of each convolution.
    pub channels: &'a [Channel],
    /// int8, as the bytes that `include_bytes!` gives.
    pub taps: &'a [u8],
}

impl Weights<'_> {
    /// Those of the next convolution: its `channels` output channels and its `taps`.
    pub(crate) fn take(&mut self, channels: usize, taps: usize) -> Self {
        let (own_channels, channels) = self.channels.split_at(channels);
        let (own_taps, taps) = self.taps.split_at(taps);
        *self = Self { channels, taps };
        Self { channels: own_channels, taps: own_taps }
    }
}
