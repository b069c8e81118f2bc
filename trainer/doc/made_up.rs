// What the documentation's examples share: a small space, with images, a predictor and a latency table that are made up.

use trainer::dataset::{Dataset, Images, Split};
use trainer::files::Header;
use trainer::predictor::{Dense, Predictor, features};
use trainer::space::Space;
use trainer::table::{Entry, FORMAT, FirmwareCost, LatencyTable, Provenance};

/// 2457 nets that tell two classes apart.
pub fn space() -> Space {
    let mut space = Space::load("fashion:2").expect("it is built in");
    space.stages.0.truncate(1);
    space
}

/// Dark and bright images in turn.
pub fn images(count: usize) -> Images {
    let pixel = |image: usize, at: usize| (40 + 120 * (image % 2) + (7 * image + at) % 32) as u8;
    Images {
        side: 28,
        channels: 1,
        pixels: (0..count).flat_map(|image| (0..28 * 28).map(move |at| pixel(image, at))).collect(),
        labels: (0..count).map(|image| image as u16 % 2).collect(),
    }
}

pub fn dataset() -> Dataset {
    let [train, validation, test] = [64, 16, 16].map(|count| Split::from(images(count)));
    Dataset::new(train, validation, test, vec!["dark".into(), "bright".into()]).expect("no part is empty")
}

/// One that has learned nothing.
#[cfg(feature = "torch")]
pub fn supernet(space: &Space, dataset: &Dataset) -> trainer::supernet::Supernet {
    let normalisation = dataset.train.normalisation().expect("the images are in memory");
    let mut rng = <rand_chacha::ChaCha8Rng as rand::SeedableRng>::seed_from_u64(1);
    trainer::supernet::Supernet::new(space, normalisation, tch::Device::Cpu, &mut rng).expect("the images are grey")
}

/// What it says of a net is the more the larger the net's choices are.
pub fn predictor(space: &Space) -> Predictor {
    let inputs = features(space, &space.smallest()).len();
    let weights = (0..inputs).map(|input| 0.01 * (input % 3) as f32).collect();
    Predictor::new(&[Dense { inputs, weights, bias: vec![0.5] }], space).expect("it reads the space's features")
}

/// Two cycles for each multiplication, and a thousand more.
pub fn table(space: &Space) -> LatencyTable {
    let entry = |layer: &runtime::Layer| Entry::measured(*layer, &[1000 + 2 * layer.macs() as u32], 0);
    LatencyTable {
        header: Header::new(FORMAT, &space.hash(), 0),
        provenance: Provenance {
            command: "ofa measure --board made-up".into(),
            board: "made-up".into(),
            core: "Cortex-M4F".into(),
            clock_hz: 64_000_000,
            unit: "cycles".into(),
            flash_bytes: 1 << 20,
            ram_bytes: 1 << 18,
            link: "none".into(),
            probe: "0".into(),
            sources: "0".into(),
            runtime: latency_probe::VERSION.into(),
            ofa: latency_probe::VERSION.into(),
            date: "2026-01-01".into(),
        },
        firmware: Some(FirmwareCost { code_bytes: 30_000, static_bytes: 100 }),
        sentinel: None,
        layers: space.distinct_layers().iter().map(entry).collect(),
        openings: vec![],
    }
}
