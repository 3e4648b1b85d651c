//! Packed files: their contents, and the errors for invalid files.

mod common;

use common::{Random, packed, random_graph, random_tensors};
use proptest::prelude::*;
use safetensors::SafeTensors;
use std::{alloc, cell::Cell};
use stompp_graph::{ActivationRule, Conv, CostSummary, Graph, GraphBuilder};
use stompp_infer::{Network, NetworkInfo, OpenError, PackError, RunError, pack};
use stompp_resnet::{Architecture, Model};

/// Counts the allocations of a thread.
struct Counting;

thread_local! {
    /// Number of allocations, allocated bytes, and the maximum of allocated bytes.
    static COUNT: Cell<usize> = const { Cell::new(0) };
    static HELD: Cell<isize> = const { Cell::new(0) };
    static MOST: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator.
unsafe impl alloc::GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: alloc::Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        let _ = HELD.try_with(|held| {
            held.set(held.get() + layout.size() as isize);
            let _ = MOST.try_with(|most| most.set(most.get().max(held.get())));
        });
        // SAFETY: the caller guarantees the conditions of this call.
        unsafe { alloc::GlobalAlloc::alloc(&alloc::System, layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: alloc::Layout) {
        let _ = HELD.try_with(|held| held.set(held.get() - layout.size() as isize));
        // SAFETY: the caller guarantees the conditions of this call.
        unsafe { alloc::GlobalAlloc::dealloc(&alloc::System, at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A stem, a block with a shortcut, a head.
fn small() -> Graph {
    let mut g = GraphBuilder::new([3, 8, 8]);
    let x = g.conv("conv1", g.input(), Conv::k3(10)).unwrap();
    let x = g.batch_norm("bn1", x).unwrap();
    let a = g.activation("act1", x).unwrap();
    let x = g.binary_conv("conv2", a, Conv::k3(10)).unwrap();
    let x = g.batch_norm("bn2", x).unwrap();
    let x = g.add("add", x, a).unwrap();
    let x = g.activation("act2", x).unwrap();
    let x = g.global_average_pool("pool", x).unwrap();
    let x = g.linear("fc", x, 6).unwrap();
    g.finish(x).unwrap()
}

fn small_file() -> Vec<u8> {
    let graph = small();
    packed(
        &graph,
        ActivationRule::Quantized,
        &random_tensors(&graph, &mut Random(1)),
    )
}

/// Changes the header but not its checksum. Spaces at the end keep its length.
fn edited(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    let len = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let header = std::str::from_utf8(&file[8..8 + len]).unwrap();
    assert!(header.contains(from), "{header}");
    let header = header.replacen(from, to, 1);
    let mut edited = (header.len() as u64).to_le_bytes().to_vec();
    edited.extend(header.bytes());
    edited.extend(&file[8 + len..]);
    edited
}

/// Changes the header and corrects the checksum.
fn forged(file: &[u8], from: &str, to: &str) -> Vec<u8> {
    with_checksum(edited(file, from, to))
}

fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    let key = b"\"checksum\":\"";
    let at = file.windows(key.len()).position(|w| w == key).unwrap() + key.len();
    file[at..at + 16].fill(b'0');
    let digits = format!("{:016x}", xxhash_rust::xxh3::xxh3_64(&file));
    file[at..at + 16].copy_from_slice(digits.as_bytes());
    file
}

fn refusal(file: &[u8]) -> String {
    Network::from_bytes(file).expect_err("an invalid file").to_string()
}

#[test]
fn any_reader_opens_the_file() {
    let file = small_file();
    let (_, header) = SafeTensors::read_metadata(&file).unwrap();
    let metadata = header.metadata().as_ref().unwrap();
    assert_eq!(metadata["format"], "stompp packed network");
    assert_eq!(metadata["graph"].split(';').nth(2), Some("conv1 conv 0 10 3 1 1"));
    let tensors = SafeTensors::deserialize(&file).unwrap();
    let mut names: Vec<_> = tensors
        .tensors()
        .into_iter()
        .map(|(name, t)| (name, t.dtype(), t.shape().to_vec()))
        .collect();
    names.sort_by(|a, b| a.0.cmp(&b.0));
    use safetensors::Dtype::{F32, I16, U8};
    let expected = [
        ("bn1.affine", F32, vec![3, 10]),
        ("conv1.weight", F32, vec![10, 3, 3, 3]),
        ("conv2.threshold", I16, vec![2, 10]),
        ("conv2.weight", U8, vec![10, 3, 3, 2]),
        ("fc.bias", F32, vec![6]),
        ("fc.weight", F32, vec![6, 10]),
    ];
    assert_eq!(
        names,
        expected.map(|(name, dtype, shape)| (name.to_owned(), dtype, shape))
    );
}

/// A bit is the sign of a latent weight. It is inverted if the scale of the batch norm is negative.
#[test]
fn weights_are_signs() {
    let graph = small();
    let tensors = random_tensors(&graph, &mut Random(3));
    let file = packed(&graph, ActivationRule::Quantized, &tensors);
    let bits = SafeTensors::deserialize(&file)
        .unwrap()
        .tensor("conv2.weight")
        .unwrap()
        .data()
        .to_vec();
    for (i, weight) in tensors["conv2.weight"].iter().enumerate() {
        let (o, channel, tap) = (i / 90, i / 9 % 10, i % 9);
        let bit = bits[(o * 9 + tap) * 2 + channel / 8] >> (channel % 8) & 1 == 1;
        assert_eq!(bit, (*weight >= 0.0) != (tensors["bn2.weight"][o] < 0.0), "{i}");
    }
}

/// The size of the file equals the size in the summary, for every kind of model.
#[test]
fn the_file_has_the_size_that_the_summary_promises() {
    for name in [
        "resnet8", "resnet18", "resnet20", "resnet34", "resnet50", "resnet56", "bireal18", "bireal20", "bireal34",
    ] {
        for (rule, width) in [
            (ActivationRule::Quantized, None),
            (ActivationRule::Quantized, Some(12)),
            (ActivationRule::Relu, Some(12)),
        ] {
            let graph = Architecture::new(name.parse::<Model>().unwrap(), width, 10, 32)
                .unwrap()
                .graph();
            let tensors = graph
                .tensors()
                .into_iter()
                .map(|t| (t.name, vec![0.5; t.shape.iter().product()]))
                .collect();
            let file = packed(&graph, rule, &tensors);
            let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
            assert_eq!(
                file.len() - header,
                CostSummary::new(&graph, rule).bytes(),
                "{name} {rule:?}"
            );
            assert!(
                rule != ActivationRule::Quantized || width.is_some() || name != "resnet18" || file.len() < 2_300_000
            );
            assert!(
                rule != ActivationRule::Quantized || width.is_some() || name != "resnet20" || file.len() < 60_000,
                "{}",
                file.len()
            );
        }
    }
}

#[test]
fn info_comes_back() {
    let graph = small();
    let tensors = random_tensors(&graph, &mut Random(1));
    let info = NetworkInfo {
        classes: ["a", "b \"c\"", "dé", "e;f", "\\g", "h"].map(str::to_owned).to_vec(),
        mean: vec![0.4914, 0.1, 1.0 / 3.0],
        std: vec![0.247, 1e-7, 3e8],
        preprocessing: "centre crop, \"bilinear\"".to_owned(),
        revision: "1234567890123456789012345678901234567890".to_owned(),
        licence: "MIT".to_owned(),
        parent: "runs/1".to_owned(),
    };
    let find = |name: &str| tensors.get(name).map(Vec::as_slice);
    let file = pack(&graph, ActivationRule::Quantized, find, &info).unwrap();
    let network = Network::from_bytes(&file).unwrap();
    assert_eq!(*network.info(), info);
    assert_eq!(*network.graph(), graph);
    assert_eq!(
        file,
        pack(&graph, ActivationRule::Quantized, find, &info).unwrap(),
        "the same bytes again"
    );
    let wrong = NetworkInfo {
        classes: vec!["a".to_owned()],
        ..info.clone()
    };
    assert!(matches!(
        pack(&graph, ActivationRule::Quantized, find, &wrong),
        Err(PackError::Classes(_))
    ));
}

#[test]
fn networks_that_cannot_be_packed_are_refused() {
    let graph = small();
    let tensors = random_tensors(&graph, &mut Random(1));
    let with = |name: &str, values: Option<Vec<f32>>| {
        let mut tensors = tensors.clone();
        match values {
            Some(values) => tensors.insert(name.to_owned(), values),
            None => tensors.remove(name),
        };
        pack(
            &graph,
            ActivationRule::Quantized,
            |name| tensors.get(name).map(Vec::as_slice),
            &NetworkInfo::default(),
        )
        .unwrap_err()
        .to_string()
    };
    assert_eq!(with("bn2.bias", None), "tensor `bn2.bias` is missing");
    assert_eq!(
        with("bn2.bias", Some(vec![0.0; 9])),
        "tensor `bn2.bias` has 9 entries, the graph expects 10"
    );
    for bad in [f32::NAN, f32::INFINITY] {
        assert_eq!(
            with("conv2.weight", Some(vec![bad; 900])),
            "tensor `conv2.weight` has an entry that is not finite"
        );
    }
    assert!(
        with("bn2.running_var", Some(vec![-1.0; 10])).starts_with("batch norm `bn2`: channel 0 cannot be evaluated")
    );
    // One over the standard deviation is above 1, so the factor overflows.
    let mut huge = tensors.clone();
    huge.insert("bn2.running_var".to_owned(), vec![0.0; 10]);
    huge.insert("bn2.weight".to_owned(), vec![f32::MAX; 10]);
    let find = |name: &str| huge.get(name).map(Vec::as_slice);
    let error = pack(&graph, ActivationRule::Quantized, find, &NetworkInfo::default()).unwrap_err();
    assert!(
        matches!(
            error,
            PackError::BatchNorm {
                factor: f32::INFINITY,
                ..
            }
        ),
        "{error}"
    );
}

#[test]
fn other_files_are_refused_by_name() {
    let file = small_file();
    assert_eq!(refusal(b""), "not a safetensors file: it is shorter than 8 bytes");
    assert_eq!(
        refusal(&[0xFF; 40]),
        "not a safetensors file: its header would be longer than the file"
    );
    assert_eq!(
        refusal(b"\x02\0\0\0\0\0\0\0{}"),
        "a safetensors file, but not a packed network (`stompp pack` writes those)"
    );
    assert!(refusal(b"\x02\0\0\0\0\0\0\0[}").starts_with("not a safetensors file: "));
    assert_eq!(
        refusal(b"\x02\0\0\0\0\0\0\0\xFF\xFF"),
        "not a safetensors file: its header is not UTF-8"
    );
    let cut = &file[..file.len() - 1];
    assert_eq!(
        refusal(cut),
        format!(
            "the file has {} bytes, its header says {}: it is cut off or has been appended to",
            cut.len(),
            file.len()
        )
    );
    let mut longer = file.clone();
    longer.push(0);
    assert!(matches!(Network::from_bytes(&longer), Err(OpenError::Size { .. })));
    assert_eq!(
        refusal(&edited(&file, "\"version\":\"1\"", "\"version\":\"2\"")),
        "version `2` of the packed file is not known; this program reads version 1"
    );
    assert_eq!(
        refusal(&edited(&file, "quantized", "quantizeD")),
        "the checksum does not fit: the file is damaged"
    );
    assert_eq!(
        refusal(&forged(&file, "quantized", "ternary")),
        "the header's `activation`: `ternary` is not known"
    );
    assert_eq!(
        refusal(&forged(&file, "conv1 conv 0 10", "conv1 conv 7 10")),
        "the header's `graph`: `conv1 conv 7 10 3 1 1` is not understood"
    );
    assert_eq!(
        refusal(&forged(&file, "conv1 conv 0 10 3", "conv1 conv 0 10 300")),
        "the network: node `conv1`: the kernel is 300, expected 1 to 255"
    );
    assert_eq!(
        refusal(&forged(&file, "fc linear 8 6", "fc linear 8 7")),
        "tensor `fc.weight`: has another shape"
    );
    assert_eq!(
        refusal(&forged(&file, "\"conv2.weight\":", "\"conv3.weight\":")),
        "tensor `conv2.weight`: is missing"
    );
    assert_eq!(
        refusal(&forged(&file, "\"I16\"", "\"U16\"")),
        "tensor `conv2.threshold`: has another type"
    );
    let spare = "{\"spare\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"__metadata__\"";
    assert_eq!(
        refusal(&forged(&file, "{\"__metadata__\"", spare)),
        "tensor `spare`: is no part of the network"
    );
    assert_eq!(
        refusal(&forged(
            &file,
            "\"shape\":[6],\"data_offsets\":[",
            "\"shape\":[6],\"data_offsets\":[1"
        )),
        "tensor `fc.bias`: has offsets that do not fit its shape"
    );
    let mut past = file.clone();
    *past.last_mut().unwrap() |= 0x80;
    assert_eq!(
        refusal(&with_checksum(past)),
        "tensor `conv2.weight`: has bits past its channels"
    );
    let missing = Network::open("/nowhere/net.stompp").unwrap_err();
    assert_eq!(missing.to_string(), "cannot read /nowhere/net.stompp");
}

/// A change of any single byte is an error.
#[test]
fn damage_is_noticed() {
    let file = small_file();
    for at in 0..file.len() {
        let mut damaged = file.clone();
        damaged[at] ^= 1 << (at % 8);
        Network::from_bytes(&damaged).expect_err("a byte was changed");
    }
}

#[test]
fn lengths_are_checked() {
    let file = small_file();
    let network = Network::from_bytes(&file).unwrap();
    let error = network.logits(&[0.0; 5]).unwrap_err();
    assert_eq!(error.to_string(), "the image has 5 entries, the network expects 192");
    let error = network.logits_of_batch(&[0.0; 192], &mut [0.0; 12]).unwrap_err();
    assert_eq!(
        error,
        RunError::Length {
            what: "images",
            given: 192,
            wanted: 384
        }
    );
    let error = network
        .run(&[0.0; 192], &mut network.scratch().unwrap(), &mut [0.0; 5])
        .unwrap_err();
    assert_eq!(error.to_string(), "the output has 5 entries, the network expects 6");
    let graph = Architecture::new(Model::ResNet18, Some(8), 10, 32).unwrap().graph();
    let other = packed(
        &graph,
        ActivationRule::Quantized,
        &random_tensors(&graph, &mut Random(2)),
    );
    let mut foreign = Network::from_bytes(&other).unwrap().scratch().unwrap();
    assert_eq!(
        network.run(&[0.0; 192], &mut foreign, &mut [0.0; 6]),
        Err(RunError::WrongScratch)
    );
}

/// Scratch memory has the promised size, and runs allocate nothing else.
#[test]
fn memory_is_what_is_promised() {
    for (threads, rule) in [
        (1, ActivationRule::Quantized),
        (1, ActivationRule::Relu),
        (3, ActivationRule::Quantized),
    ] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let graph = Architecture::new(Model::ResNet18, Some(24), 10, 32).unwrap().graph();
            let file = packed(&graph, rule, &random_tensors(&graph, &mut Random(2)));
            let network = Network::from_bytes(&file).unwrap();
            let before = HELD.get();
            let scratch = network.scratch().unwrap();
            let (held, promised) = ((HELD.get() - before) as usize, network.scratch_bytes());
            // The memory itself, and the lists of buffers.
            assert!((promised..promised + 2000).contains(&held), "{held} {promised}");
            drop(scratch);
            let image = vec![0.5; 3 * 32 * 32];
            let first = network.classify(&image).unwrap();
            let before = COUNT.get();
            for _ in 0..3 {
                assert_eq!(network.classify(&image).unwrap(), first);
            }
            assert_eq!(COUNT.get() - before, 0, "allocations after the first call");
        });
    }
}

/// Results do not depend on the number of threads or on batching.
#[test]
fn threads_change_no_bit() {
    let graph = Architecture::new(Model::ResNet18, Some(40), 10, 32).unwrap().graph();
    let file = packed(
        &graph,
        ActivationRule::Quantized,
        &random_tensors(&graph, &mut Random(2)),
    );
    let mut random = Random(9);
    let images: Vec<f32> = (0..3 * 3 * 32 * 32).map(|_| random.float()).collect();
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let network = Network::from_bytes(&file).unwrap();
            let one: Vec<f32> = images
                .chunks(3 * 32 * 32)
                .flat_map(|image| network.logits(image).unwrap())
                .collect();
            let mut all = vec![0.0; one.len()];
            network.logits_of_batch(&images, &mut all).unwrap();
            assert_eq!(one, all);
            one
        })
    };
    let expected = run(1);
    for threads in [2, 3, 7] {
        assert_eq!(run(threads), expected, "{threads} threads");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// A file with random changes to header and data and a corrected checksum gives an error or runs. It does not panic, and its memory is
    /// at most a multiple of the file.
    #[test]
    fn forged_files_do_no_harm(seed in any::<u64>(), changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut random = Random(seed);
        let graph = random_graph(&mut random, ActivationRule::Quantized);
        let mut file = packed(&graph, ActivationRule::Quantized, &random_tensors(&graph, &mut random));
        for (at, byte) in changes {
            let at = at.index(file.len() - 8) + 8;
            file[at] = byte;
        }
        if file.windows(12).any(|w| w == b"\"checksum\":\"") {
            let file = with_checksum(file);
            MOST.set(HELD.get());
            let before = HELD.get();
            let opened = Network::from_bytes(&file);
            let most = (MOST.get() - before) as usize;
            prop_assert!(most < 200_000 + 100 * file.len(), "{most} bytes for a file of {}", file.len());
            if let Ok(network) = opened
                && network.scratch_bytes() < 1 << 26
            {
                let image = vec![0.5; network.input_shape().iter().product()];
                network.classify(&image).expect("lengths fit");
            }
        }
    }
}
