//! Weights of a layer, in the order that its [`Layer`](crate::Layer) documents.

use crate::layer::{Activation, TABLE_TAPS};
use crate::parts::split;
use crate::quant::Channel;

/// Weights of one layer.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'a> {
    /// One for each output channel of each convolution.
    pub channels: &'a [Channel],
    /// int8, as the bytes that `include_bytes!` gives.
    pub taps: &'a [u8],
}

/// What each int8 becomes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Table<'a>(&'a [u8; TABLE_TAPS]);

impl<'a> Weights<'a> {
    /// Those of the next convolution: its `channels` output channels and its `taps`.
    pub(crate) fn take(&mut self, channels: usize, taps: usize) -> Self {
        let (own_channels, channels) = split(self.channels, channels);
        let (own_taps, taps) = split(self.taps, taps);
        *self = Self { channels, taps };
        Self { channels: own_channels, taps: own_taps }
    }

    /// The table of the convolution just taken, if its activation has one.
    pub(crate) fn take_table(&mut self, activation: Activation) -> Option<Table<'a>> {
        let (own, taps) = split(self.taps, activation.table_taps());
        self.taps = taps;
        own.first_chunk().map(Table)
    }

    /// The next channel, which belongs to no convolution.
    pub(crate) fn take_channel(&mut self) -> Channel {
        self.take(1, 0).first_channel()
    }

    /// Its first channel.
    pub(crate) fn first_channel(&self) -> Channel {
        debug_assert!(!self.channels.is_empty());
        self.channels.first().copied().unwrap_or(Channel { bias: 0, multiplier: 0 })
    }
}

impl Table<'_> {
    /// What this value becomes.
    #[inline(always)]
    pub fn value(&self, value: i8) -> i8 {
        self.0[usize::from(value as u8 ^ 0x80)] as i8
    }

    /// Replaces values by what they become.
    pub fn map(&self, values: &mut [i8]) {
        values.iter_mut().for_each(|value| *value = self.value(*value));
    }
}
