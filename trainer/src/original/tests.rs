//! Files made here, in the form of the original's.

use std::io::Write;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::table::key;
use super::*;
use crate::predictor::{Dense, Predictor};
use crate::space::Space;

const LENGTHS: [usize; 5] = [FEATURES, 400, 400, 400, 1];

fn space() -> Space {
    Space::load("mobilenetv3@1.2").unwrap()
}

/// A pickle, written piece by piece.
#[derive(Default)]
struct Pickle(Vec<u8>);

impl Pickle {
    fn new() -> Self {
        Self(vec![0x80, 2])
    }

    fn code(mut self, code: &[u8]) -> Self {
        self.0.extend(code);
        self
    }

    fn text(self, text: &str) -> Self {
        let length = (text.len() as u32).to_le_bytes();
        self.code(b"X").code(&length).code(text.as_bytes())
    }

    fn int(self, number: usize) -> Self {
        self.code(b"J").code(&(number as i32).to_le_bytes())
    }

    fn ints(self, numbers: &[usize]) -> Self {
        numbers.iter().fold(self.code(b"("), |pickle, &number| pickle.int(number)).code(b"t")
    }

    /// As `torch.save` writes a tensor.
    fn tensor(self, key: &str, size: &[usize]) -> Self {
        let stride: Vec<usize> = (0..size.len()).map(|i| size[i + 1..].iter().product()).collect();
        self.view(key, 0, size, &stride, b"")
    }

    /// A tensor that is a part of its storage; `view` is what the storage has behind its length.
    fn view(self, key: &str, offset: usize, size: &[usize], stride: &[usize], view: &[u8]) -> Self {
        self.code(b"ctorch._utils\n_rebuild_tensor_v2\nq\x07((")
            .text("storage")
            .code(b"ctorch\nFloatStorage\n")
            .text(key)
            .text("cpu")
            .int(size.iter().fold(1, |count, &side| count.wrapping_mul(side)))
            .code(view)
            .code(b"tQ")
            .int(offset)
            .ints(size)
            .ints(stride)
            .code(b"\x89ccollections\nOrderedDict\n)RtR")
    }
}

/// An archive of stored entries.
fn archive(entries: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut file, mut directory) = (vec![], vec![]);
    for (name, bytes) in entries {
        let start = file.len() as u32;
        let lengths = [crc32fast::hash(bytes), bytes.len() as u32, bytes.len() as u32];
        let mut fields: Vec<u8> = lengths.iter().flat_map(|number| number.to_le_bytes()).collect();
        fields.extend((name.len() as u16).to_le_bytes());
        fields.extend([0; 2]);
        file.extend([b'P', b'K', 3, 4].iter().chain(&[0; 10]).chain(&fields));
        file.extend(name.as_bytes().iter().chain(bytes));
        directory.extend([b'P', b'K', 1, 2].iter().chain(&[0; 12]).chain(&fields).chain(&[0; 10]));
        directory.extend(start.to_le_bytes().iter().chain(name.as_bytes()));
    }
    let (start, length, count) = (file.len() as u32, directory.len() as u32, entries.len() as u16);
    file.extend(&directory);
    file.extend([b'P', b'K', 5, 6, 0, 0, 0, 0]);
    file.extend(count.to_le_bytes().iter().chain(&count.to_le_bytes()));
    file.extend(length.to_le_bytes().iter().chain(&start.to_le_bytes()).chain(&[0; 2]));
    file
}

fn pth(pickle: Vec<u8>, storages: &[Vec<f32>]) -> Vec<u8> {
    let mut entries = vec![("p/data.pkl".into(), pickle), ("p/byteorder".into(), b"little".to_vec())];
    for (i, values) in storages.iter().enumerate() {
        entries.push((format!("p/data/{i}"), values.iter().flat_map(|value| value.to_le_bytes()).collect()));
    }
    entries.push(("p/version".into(), b"3\n".to_vec()));
    archive(&entries)
}

/// The form of before PyTorch 1.6.
fn five_pickles(object: Pickle, storages: &[Vec<f32>]) -> Vec<u8> {
    let magic = Pickle::new().code(b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    let version = Pickle::new().code(b"M\xe9\x03.");
    let system = Pickle::new().code(b"}q\x00(").text("protocol_version").code(b"M\xe9\x03");
    let system = system.text("little_endian").code(b"\x88").text("type_sizes").code(b"}q\x01");
    let system = system.text("short").code(b"K\x02su.");
    let keys = Pickle::new().code(b"]q\x00(");
    let keys = (0..storages.len()).fold(keys, |keys, i| keys.text(&i.to_string())).code(b"e.");
    let mut file = [magic, version, system, object, keys].map(|pickle| pickle.0).concat();
    for values in storages {
        file.extend((values.len() as u64).to_le_bytes());
        file.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    file
}

fn layers() -> Vec<Dense> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut layer = |pair: &[usize]| {
        let mut draw = |count| (0..count).map(|_| rng.random_range(-0.1..0.1)).collect();
        Dense { inputs: pair[0], weights: draw(pair[0] * pair[1]), bias: draw(pair[1]) }
    };
    LENGTHS.windows(2).map(&mut layer).collect()
}

/// A `state_dict`, with its `_metadata` behind it.
fn state_dict(layers: &[Dense]) -> (Pickle, Vec<Vec<f32>>) {
    let mut pickle = Pickle::new().code(b"ccollections\nOrderedDict\nq\x00)Rq\x01(");
    let mut storages = vec![];
    for (i, layer) in layers.iter().enumerate() {
        for (part, size, values) in [
            ("weight", vec![layer.bias.len(), layer.inputs], &layer.weights),
            ("bias", vec![layer.bias.len()], &layer.bias),
        ] {
            pickle = pickle.text(&format!("{}.{part}", 2 * i)).tensor(&storages.len().to_string(), &size);
            storages.push(values.clone());
        }
    }
    (pickle.code(b"u}").text("_metadata").code(b"ccollections\nOrderedDict\n)Rsb"), storages)
}

fn good() -> Vec<u8> {
    let (pickle, storages) = state_dict(&layers());
    pth(pickle.code(b".").0, &storages)
}

fn refusal(file: &[u8]) -> String {
    let refusal = format!("{:#}", read_predictor(file, &space()).unwrap_err());
    assert!(!refusal.contains('\n'), "{refusal}");
    refusal
}

#[test]
fn a_predictor_is_read_with_its_weights_in_place() {
    let read = read_predictor(&good(), &space()).unwrap();
    let expected = layers_for(&space(), layers()).unwrap();
    assert!(read == expected);
    Predictor::new(&read, &space()).unwrap();
    // A checkpoint around it.
    let (inner, storages) = state_dict(&layers());
    let pickle = Pickle::new().code(b"}").text("epoch").int(3).code(b"s").text("state_dict");
    let pickle = pickle.code(&inner.0[2..]).code(b"s.");
    assert!(read_predictor(&pth(pickle.0, &storages), &space()).unwrap() == expected);
}

#[test]
fn a_file_from_before_1_6_is_read_as_one_from_after() {
    let (pickle, storages) = state_dict(&layers());
    let file = five_pickles(pickle.code(b"."), &storages);
    assert!(read_predictor(&file, &space()).unwrap() == layers_for(&space(), layers()).unwrap());
    for length in (1..file.len()).step_by(file.len() / 60).chain([file.len() - 1]) {
        refusal(&file[..length]);
    }
    let changed = |from: &[u8], to: &[u8]| {
        let at = file.windows(from.len()).position(|window| window == from).unwrap();
        refusal(&[&file[..at], to, &file[at + from.len()..]].concat())
    };
    assert!(changed(b"M\xe9\x03.", b"M\xe8\x03.").contains("its version is not 1001"));
    assert!(changed(b"little_endian\x88", b"little_endian\x89").contains("not little endian"));
    assert!(changed(b"]q\x00(", b"}(").contains("appends to what is no list"));
    let tensor = |view: &[u8]| {
        let pickle = Pickle::new().code(b"}").text("0.weight").view("0", 0, &[1], &[1], view).code(b"s.");
        refusal(&five_pickles(pickle, &[vec![1.0]]))
    };
    // One None, as PyTorch writes it, is not what is wrong; a part of a storage is.
    assert!(tensor(b"N").contains("layer 0 has not both"), "{}", tensor(b"N"));
    assert!(tensor(b"(K\x01t").contains("a storage is a part of another"));
}

/// Small files that would take memory or time without end.
#[test]
fn a_small_file_takes_no_more_than_it_has() {
    let one = |size: &[usize], stride: &[usize], length: usize, count: usize| {
        let names = (0..count).map(|i| format!("{i}.weight"));
        let pickle = Pickle::new().code(b"}(");
        let pickle = names.fold(pickle, |pickle, name| pickle.text(&name).view("0", 0, size, stride, b""));
        refusal(&pth(pickle.code(b"u.").0, &[vec![0.5; length]]))
    };
    assert!(one(&[8192, 8192], &[0, 0], 1, 40).contains("too short: 1 values, not 67108864"));
    assert!(one(&[1 << 20], &[1], 1 << 20, 65).contains("no predictor has more than 67108864"));
    assert!(one(&[usize::MAX >> 40; 4], &[1; 4], 1, 1).contains("it is too large"));
    assert!(one(&[1; 5], &[1; 5], 1, 1).contains("more than 4 dimensions"));
    assert!(one(&[1; 2], &[1; 3], 1, 1).contains("does not fit its strides"));
    // A dict that is remembered is still one, and not copied for each item.
    let many = Pickle::new().code(b"}q\x01").code(&b"K\x01K\x02s".repeat(200_000)).code(b".");
    assert!(refusal(&pth(many.0, &[])).contains("what is no tensor"));
    let endless = Pickle::new().code(&b"N".repeat(1 << 21)).code(b".");
    assert!(refusal(&pth(endless.0, &[])).contains("more than 1048576 instructions"));
    // An archive whose directory has one entry thrice.
    let once = archive(&[("a".into(), vec![0; 200])]);
    let (entries, end) = once.split_at(once.len() - 22);
    let directory = &entries[u32::from_le_bytes(*end[16..].first_chunk().unwrap()) as usize..];
    let mut end = end.to_vec();
    end[10] = 3;
    assert!(refusal(&[entries, directory, directory, &end].concat()).contains("its entries overlap"));
}

#[test]
fn a_dict_that_is_remembered_gets_its_items_later() {
    let (inner, storages) = state_dict(&layers());
    let inner = Pickle(inner.0[2..].to_vec());
    let pickle = Pickle::new().code(&inner.0).code(b"}").text("state_dict").code(b"h\x01s.");
    assert!(read_predictor(&pth(pickle.0, &storages), &space()).unwrap() == layers_for(&space(), layers()).unwrap());
}

/// What `pickle.loads` would run a program for.
#[test]
fn a_pickle_that_wants_to_run_something_is_refused() {
    let system = Pickle::new().code(b"cposix\nsystem\n").text("touch owned").code(b"\x85R.");
    let said = refusal(&pth(system.0, &[]));
    assert!(said.contains("posix.system") && said.contains("it was not run"), "{said}");
    for (code, part) in [
        (&b"c__builtin__\neval\n."[..], "__builtin__.eval"),
        (b"ctorch\nload\n.", "torch.load"),
        (b"ccollections\nOrderedDict\n(K\x01tR.", "calls what a predictor does not need"),
        (b"K\x01(K\x02tR.", "calls what a predictor does not need"),
        (b"(iposix\nsystem\n.", "instruction 0x69"),
        (b"\x93.", "instruction 0x93"),
        (b"cx\n\x1b[31m\n.", "x.\\u{1b}[31m"),
        (b"b.", "stack is empty"),
        (b"K\x01b.", "stack is empty"),
        (b"K\x01K\x02b.", "attributes of what is no dict"),
        (b"h\x09.", "recalls what it did not remember"),
        (b"(((t", "its pickle"),
        (b"t.", "no mark"),
        (b"X\xff\xff\xff\xff.", "cut off"),
        (b"K\x01.", "holds no state_dict"),
        (b"}K\x01K\x02s.", "what is no tensor"),
        (b"K\x01Q.", "no storage"),
    ] {
        let said = refusal(&pth(Pickle::new().code(code).0, &[]));
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
    // Nested without end, or in itself: no stack may overflow.
    let deep = Pickle::new().code(b")").code(&[0x85; 100_000]).code(b".");
    assert!(refusal(&pth(deep.0, &[])).contains("holds no state_dict"));
    let ring = Pickle::new().code(b"}q\x01").text("state_dict").code(b"h\x01s.");
    assert!(refusal(&pth(ring.0, &[])).contains("what is no tensor"));
}

#[test]
fn what_is_no_predictor_is_refused() {
    type Change = fn(&mut Vec<Dense>);
    let cases: [(Change, &str); 5] = [
        (|layers| layers.truncate(3), "400 outputs, not 1"),
        (|layers| layers[0].inputs += 1, "0.weight"),
        (|layers| drop(layers.remove(0)), "not 400 × 128"),
        (|layers| layers[3].bias.push(0.0), "3.weight"),
        (|layers| layers.clear(), "0 outputs"),
    ];
    for (change, part) in cases {
        let mut changed = layers();
        change(&mut changed);
        let (pickle, storages) = state_dict(&changed);
        let file = pth(pickle.code(b".").0, &storages);
        let said = refusal(&file);
        let other = ["storage is too short", "its last layer has 128 outputs, not 1"];
        assert!(said.contains(part) || other.iter().any(|other| said.contains(other)), "{part:?} is not in {said}");
    }
    assert!(refusal(b"hello").contains("no file of torch.save"));
    let file = good();
    for length in (0..file.len()).step_by(file.len() / 60) {
        refusal(&file[..length]);
    }
    let mut damaged = file.clone();
    damaged[file.len() / 2] ^= 1;
    assert!(refusal(&damaged).contains("is damaged"));
    let small = Space::load("fashion").unwrap();
    assert!(read_predictor(&file, &small).unwrap_err().to_string().contains("--width 1.2"));
}

/// A table of one resolution, its figures by a formula.
fn yaml(side: u16, mean: impl Fn(usize) -> f64) -> String {
    let mut one = space();
    one.input.resolutions = crate::space::Resolutions(vec![side]);
    let mut text = Vec::new();
    for (i, layer) in one.distinct_layers().iter().enumerate() {
        // Both forms of a mapping.
        match i % 2 {
            0 => writeln!(text, "{}:\n  count: 10\n  mean: {}", key(layer), mean(i)).unwrap(),
            _ => writeln!(text, "'{}': {{count: 10, mean: {}}}", key(layer), mean(i)).unwrap(),
        }
    }
    String::from_utf8(text).unwrap()
}

fn import(texts: &[String]) -> anyhow::Result<Imported> {
    let texts: Vec<_> = texts.iter().enumerate().map(|(i, text)| (format!("{i}.yaml"), text.clone())).collect();
    read_table(&texts, &space(), "phone", "ofa table import")
}

#[test]
fn keys_are_the_originals() {
    let space = space();
    let mut arch = crate::space::Arch { resolution: 224, ..space.smallest() };
    arch.stages[4][1] = crate::space::BlockArch { kernel: 5, expand: 6 };
    let keys: Vec<_> = space.layers(&arch).iter().map(key).collect();
    assert_eq!(keys[0], "Conv-input:224x224x3-output:112x112x24");
    assert_eq!(
        keys[1],
        "expanded_conv-input:112x112x24-output:112x112x24-expand:24-kernel:3-stride:1-idskip:1-se:0-hs:0"
    );
    assert_eq!(
        keys[2],
        "expanded_conv-input:112x112x24-output:56x56x32-expand:72-kernel:3-stride:2-idskip:0-se:0-hs:0"
    );
    assert_eq!(
        keys[9],
        "expanded_conv-input:14x14x136-output:14x14x136-expand:816-kernel:5-stride:1-idskip:1-se:1-hs:1"
    );
    assert_eq!(
        keys[12..],
        [
            "Conv_1-input:7x7x192-output:7x7x1152",
            "AvgPool2D-input:7x7x1152-output:1x1x1152",
            "Conv_2-input:1x1x1152-output:1x1x1536",
            "Logits-input:1x1x1536-output:1000",
        ]
    );
}

#[test]
fn tables_of_several_resolutions_are_one() {
    let all = import(&[yaml(160, |i| 0.5 + i as f64), yaml(176, |i| 1.5 + i as f64) + "Other-input:1:\n  mean: 3\n"]);
    let Imported { table, resolutions, unused } = all.unwrap();
    assert_eq!((&resolutions[..], unused, table.provenance.unit.as_str()), (&[160, 176][..], 1, "ns"));
    let mut of_160 = space();
    of_160.input.resolutions = crate::space::Resolutions(vec![160]);
    // Sorted layers: the first, a convolution, is of this resolution alone; the last, the classifier, of both.
    let layers = of_160.distinct_layers();
    assert_eq!(table.ticks(&layers[0]), Some(500_000));
    let mean = 500_000 + (layers.len() as u32 - 1) * 1_000_000;
    assert_eq!(table.ticks(&layers[layers.len() - 1]), Some(mean + 500_000));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.json");
    table.save(&path).unwrap();
    assert_eq!(crate::table::LatencyTable::load(&path, &space()).unwrap(), table);
}

#[test]
fn a_board_is_called_as_a_file_can_be() {
    let texts = [("160.yaml".to_owned(), yaml(160, |_| 1.0))];
    for name in ["../escaped", "a b/c", "", "..", "a\nb", "a\\b"] {
        let said = read_table(&texts, &space(), name, "ofa table import").unwrap_err().to_string();
        assert!(said.contains("the board has a name that no file can have") && !said.contains('\n'), "{said}");
    }
    assert!(read_table(&texts, &space(), "Galaxy Note10", "ofa table import").is_ok());
}

/// What writers of YAML may make of a table: PyYAML of any version, editors, people.
#[test]
fn a_table_may_be_written_in_many_ways() {
    let plain = yaml(160, |i| 0.5 + i as f64);
    let expected = import(std::slice::from_ref(&plain)).unwrap().table.layers;
    let flow = |line: &str| line.starts_with('\'');
    let rewritten = |write: &dyn Fn(&str) -> String| plain.lines().map(|line| write(line) + "\n").collect::<String>();
    let wrapped = |line: &str| match line.split_once(": {").filter(|_| flow(line)) {
        Some((key, fields)) => format!("{key}:\n  {{{}", fields.replace(", ", ",\n    ")),
        None => line.into(),
    };
    let long = |line: &str| match line.split_once(": {").filter(|_| flow(line)) {
        Some((key, fields)) => format!("? {key}\n: {{{}", fields.replace(", ", ",\n  ")),
        None if !line.starts_with(' ') => format!("? {}\n:", line.trim_end_matches(':')),
        None => line.into(),
    };
    for (i, text) in [
        rewritten(&wrapped),
        rewritten(&long),
        rewritten(&|line| format!("{line}  # runs: {{all}} of them")),
        format!("\u{feff}{plain}"),
        plain.replace('\n', "\r\n"),
        format!("%YAML 1.1\n---\n{plain}...\n"),
        plain.replace("\n  count: 10", "\n  runs: [1.5, {a: 2},\n    soon]\n  count: 10"),
        plain.replace("\n  count: 10", "\n  runs:\n  - 1.5\n  -\n    - 2\n  unit: ms\n  count: 10"),
        plain.replace("mean:", "\"mean\":").replace("count:", "'count':"),
        plain.replace('\'', "\""),
        plain.trim_end().into(),
    ]
    .into_iter()
    .enumerate()
    {
        assert!(text != plain, "{i}");
        assert!(import(&[text]).unwrap().table.layers == expected, "{i}");
    }
}

#[test]
fn damaged_tables_are_one_line() {
    let good = yaml(160, |_| 1.0);
    let said = |text: String| {
        let said = format!("{:#}", import(&[text]).unwrap_err());
        assert!(!said.contains('\n'), "{said}");
        said
    };
    let hole = good.replace("Conv_2", "Conv_3");
    assert!(said(hole).contains("there is no Conv_2-input:1x1x1152"), "a hole");
    assert!(said(good.replacen("mean: 1", "mean: nan", 1)).contains("is no time in milliseconds"));
    assert!(said(good.replacen("mean: 1", "mean: -1", 1)).contains("0.yaml: line "));
    assert!(said(good.replacen("mean: 1", "mean: !!python/object/apply:os.system", 1)).contains("is no number"));
    assert!(said(good.replacen("mean: 1", "average: 1", 1)).contains("it has no mean"));
    assert!(said(good.replacen("count: 10", "count: 0", 1)).contains("no number of measurements"));
    assert!(said(format!("{good}{good}")).contains("is there twice"));
    assert!(said("- a\n- b\n".into()).contains("line 1: it is no mapping of layers"));
    assert!(said("  mean: 1\n".into()).contains("line 1: mean: behind the key is no"));
    assert!(said(String::new()).contains("it is empty"));
    assert!(said("Conv-input:1:\n  mean: 1\n".into()).contains("such as Conv-input:224x224x3-output:112x112x24"));
    let check = |text: String, part: &str| {
        let said = said(text);
        assert!(said.len() < 300 && said.contains(part), "{part:?} is not in {said}");
    };
    check("a:\n  mean: 1\nb: {mean: 1\n".into(), "0.yaml: line 3: b: it is no YAML: ");
    for (fields, part) in [
        ("{mean: .nan}", "line 1: a: its mean: \".nan\" is no number"),
        ("{mean: inf}", "its mean, inf, is no time"),
        ("{mean: -.inf}", "is no number"),
        ("{mean: 0}", "its mean, 0, is no time"),
        ("{mean: [1]}", "a list or a mapping is no number"),
        ("{mean: 1, mean: 2}", "its mean is there twice"),
        ("{mean: 1, count: 1, count: 2}", "its count is there twice"),
        ("{mean: 1, [2]: 3}", "a key is no text"),
        ("{mean: 1, \"\\n\": 3}", "a key is no line"),
        ("[1, 2]", "a: behind the key is no {mean: …, count: …}"),
        ("{mean: *x}", "line 1"),
        ("{mean: &x 1, count: *x}", "it has an alias"),
    ] {
        check(format!("a: {fields}\n"), part);
    }
    // Each line ten times the one before: 10^30 values.
    let bomb = (1..30).fold("x0: &x0 [1]\n".to_owned(), |text, i| {
        text + &format!("x{i}: &x{i} [{}]\n", vec![format!("*x{}", i - 1); 10].join(", "))
    });
    check(bomb.clone(), "line 1: x0: behind the key");
    check(format!("a:\n  {}", bomb.trim_end().replace('\n', "\n  ")), "line 3: a: it has an alias");
    for deep in ["[", "{a: ", "- ", "? ", "- - ? - "] {
        check(deep.repeat(100_000), "0.yaml: line 1: ");
        check(format!("a:\n  b:\n    {}", deep.repeat(100_000)), "0.yaml: line 3: a: it is no YAML: recursion");
    }
    check(format!("{}: {{mean: 1}}", "a".repeat(5000)), "line 1: ");
    check(format!("? {}\n: {{mean: 1}}", "a".repeat(5000)), "line 1: a key is no line of at most 1024 bytes");
    check(format!("a: {{mean: {}}}", "x".repeat(5000)), "it has more than 1024 bytes");
    for length in (0..good.len()).step_by(good.len() / 40 + 1) {
        let _ = import(&[good[..length].into()]);
    }
}
