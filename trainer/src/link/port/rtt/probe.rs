//! What probe-rs does: finds debug probes, programs chips, and reads and writes their memory.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use probe_rs::flashing::{DownloadOptions, ElfLoader, ElfOptions, download_file_with_options};
use probe_rs::probe::list::{Accessibility, Lister};
use probe_rs::rtt::{Rtt as Channels, ScanRegion, find_rtt_control_block_in_raw_file, try_attach_to_rtt};
use probe_rs::{Permissions, Session};

use super::Rtt;
use super::choice::{self, Found};
use super::pump::Rings;

/// How long a core may take to stop after its reset.
const HALT_WITHIN: Duration = Duration::from_secs(1);
/// How long a firmware may take to open its link.
const START_WITHIN: Duration = Duration::from_secs(5);

/// The debug probe that is wanted for that board, or the only one.
///
/// # Errors
/// If there is none, or it could be several.
pub(super) fn choose(board: &str, wanted: Option<&str>) -> Result<Found> {
    let (mut attached, place) = find(board, wanted)?;
    Ok(attached.swap_remove(place))
}

fn find(board: &str, wanted: Option<&str>) -> Result<(Vec<Found>, usize)> {
    let attached = Lister::new().list_all_with_access();
    let found: Vec<_> = attached
        .iter()
        .map(|item| Found {
            name: item.info.identifier.clone(),
            ids: [item.info.vendor_id, item.info.product_id],
            serial: item.info.serial_number.clone().unwrap_or_default(),
        })
        .collect();
    let place = choice::choose(board, &found, wanted)?;
    ensure!(
        attached[place].accessibility == Accessibility::Accessible,
        "{} may not be opened by this user; give them the right by a udev rule (probe.rs, \"Probe setup\"), and plug \
         it in anew",
        found[place]
    );
    Ok((found, place))
}

/// A chip that runs its firmware, and the rings in its memory.
pub(super) struct Attached {
    session: Session,
    channels: Channels,
}

/// Programs the chip where it has another firmware, starts that, and finds its rings.
///
/// # Errors
/// One line that says what to do.
pub(super) fn attach(rtt: &Rtt) -> Result<Attached> {
    let Rtt { board, chip, probe, firmware } = rtt;
    let found = choose(board, probe.as_deref())?;
    // By all that is known of it, as it may have been plugged in anew since.
    let same = |info: &probe_rs::probe::DebugProbeInfo| {
        [info.vendor_id, info.product_id] == found.ids
            && info.serial_number.as_deref().unwrap_or_default() == found.serial
    };
    let info = Lister::new().list_all().into_iter().find(same).with_context(|| format!("{found} has gone"))?;
    let bytes = fs::read(firmware).with_context(|| format!("cannot read {}", firmware.display()))?;
    let block = find_rtt_control_block_in_raw_file(&bytes).ok().flatten();
    let block = block.with_context(|| format!("{} opens no link by RTT", firmware.display()))?;

    let opened = info.open().map_err(one_line).with_context(|| {
        format!("cannot open {found}; does another program use it, and may this user? see probe.rs, \"Probe setup\"")
    })?;
    let mut session = opened.attach(chip.as_str(), Permissions::default()).map_err(one_line).with_context(|| {
        format!("{found} does not reach the {chip} of {board}; has the board power, and are its wires right?")
    })?;
    let mut options = DownloadOptions::default();
    options.preverify = true;
    options.verify = true;
    download_file_with_options(&mut session, firmware, ElfLoader(ElfOptions::default()), options)
        .map_err(one_line)
        .with_context(|| format!("cannot program the {chip} of {board} with {}", firmware.display()))?;

    let region = ScanRegion::Exact(block);
    let channels = {
        let mut core = session.core(0)?;
        core.reset_and_halt(HALT_WITHIN)?;
        // What an earlier firmware has left there would be taken for this one's.
        Channels::clear_control_block(&mut core, &region)?;
        core.run()?;
        try_attach_to_rtt(&mut core, START_WITHIN, &region)
    };
    let channels = channels.map_err(one_line).with_context(|| {
        format!(
            "the firmware of {board} does not open its link (RTT); see boards/NEW_BOARD.md, \"Things that go wrong\""
        )
    })?;
    ensure!(
        !channels.up_channels.is_empty() && !channels.down_channels.is_empty(),
        "the firmware of {board} has no channel each way"
    );
    Ok(Attached { session, channels })
}

impl Rings for Attached {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let mut core = self.session.core(0).map_err(one_line)?;
        self.channels.up_channels[0].read(&mut core, buffer).map_err(one_line)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let mut core = self.session.core(0).map_err(one_line)?;
        self.channels.down_channels[0].write(&mut core, bytes).map_err(one_line)
    }
}

/// An error of probe-rs with its causes; some of them are paragraphs.
fn one_line(error: impl std::error::Error) -> anyhow::Error {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    anyhow!("{}", text.split_whitespace().collect::<Vec<_>>().join(" "))
}
