//! Checkpoints that are damaged or made to do harm: an error, or what they are, in bounded time and
//! memory. Nothing in a pickle is ever run.

// A test that cannot go on fails; there is nobody to give an error to.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use modelcost_checkpoint::{Checkpoint, CheckpointError, read_bytes, read_path};

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/checkpoints");
    std::fs::read(folder.join(name)).unwrap()
}

fn read(pickle: &[u8]) -> Result<Checkpoint, CheckpointError> {
    read_bytes(pickle, "a.pt")
}

fn message(pickle: &[u8]) -> String {
    match read(pickle) {
        Err(error) => error.to_string(),
        Ok(checkpoint) => panic!("it was read: {checkpoint:?}"),
    }
}

/// A pickle of protocol 2 from its opcodes.
fn pickle(opcodes: &[&[u8]]) -> Vec<u8> {
    [&[b"\x80\x02" as &[u8]], opcodes, &[b"."]]
        .concat()
        .concat()
}

/// A text of at most 255 bytes.
fn text(text: &str) -> Vec<u8> {
    [&[0x8c, text.len() as u8], text.as_bytes()].concat()
}

/// A tensor of float32 of the storage `key`: sizes, strides, offset, and the storage's elements.
fn tensor(key: &str, sizes: &[i64], strides: &[i64], offset: i64, elements: i64) -> Vec<u8> {
    let integer = |value: &i64| [b"\x8a\x08" as &[u8], &value.to_le_bytes()].concat();
    let tuple = |values: &[i64]| {
        let values: Vec<Vec<u8>> = values.iter().map(integer).collect();
        [b"(".to_vec(), values.concat(), b"t".to_vec()].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".to_vec(),
        text("storage"),
        b"ctorch\nFloatStorage\n".to_vec(),
        text(key),
        text("cpu"),
        integer(&elements),
        b"tQ".to_vec(),
        integer(&offset),
        tuple(sizes),
        tuple(strides),
        b"\x89NtR".to_vec(),
    ]
    .concat()
}

/// A dictionary of one tensor, `weight`.
fn state_dict(tensor: &[u8]) -> Vec<u8> {
    pickle(&[b"}", &text("weight"), tensor, b"s"])
}

#[test]
fn the_helpers_make_what_is_read() {
    let checkpoint = read(&state_dict(&tensor("0", &[2, 3], &[3, 1], 0, 6))).unwrap();
    assert_eq!(checkpoint.model.tensors[0].shape, [2, 3]);
    assert!(checkpoint.dangers.is_empty());
}

#[test]
fn code_is_shown_and_not_run() {
    let folder = std::env::temp_dir().join(format!("modelcost-hostile-{}", std::process::id()));
    let command = format!("touch {}", folder.display());
    let call = [
        b"cposix\nsystem\n".to_vec(),
        text(&command),
        b"\x85R".to_vec(),
    ]
    .concat();
    let alone = message(&pickle(&[&call]));
    assert!(alone.contains("made to run code"), "{alone}");
    assert!(alone.contains("posix.system(\"touch "), "{alone}");
    // Beside a tensor: the tensor is listed, and so is what loading the file would do.
    let weight = tensor("0", &[2], &[1], 0, 2);
    let both = pickle(&[
        b"}",
        &text("weight"),
        &weight,
        b"s",
        &text("x"),
        &call,
        b"s",
    ]);
    let checkpoint = read(&both).unwrap();
    assert_eq!(checkpoint.model.totals.params, 2);
    assert!(
        checkpoint.dangers[0].starts_with("posix.system("),
        "{:?}",
        checkpoint.dangers
    );
    assert!(!folder.exists());
    // By other ways: INST, OBJ, NEWOBJ, a name from the stack, an argument of something else.
    for opcodes in [
        b"(U\x02lsios\nsystem\n".to_vec(),
        b"(cos\nsystem\nU\x02lso".to_vec(),
        b"csubprocess\nPopen\nU\x02ls\x85\x81".to_vec(),
        [text("builtins"), text("eval"), b"\x93U\x011\x85R".to_vec()].concat(),
        b"cbuiltins\nmap\ncos\nsystem\n]\x86R".to_vec(),
        b"c__builtin__\nexec\nU\x011\x85R".to_vec(),
    ] {
        let text = message(&pickle(&[&opcodes]));
        assert!(text.contains("made to run code"), "{text}");
    }
}

#[test]
fn what_is_left_out_is_said() {
    let array = b"cnumpy._core.multiarray\n_reconstruct\n)R";
    let alone = message(&pickle(&[b"}", &text("a"), array, b"s"]));
    assert!(alone.contains("1 NumPy arrays are not counted"), "{alone}");
    let weight = tensor("0", &[2], &[1], 0, 2);
    let both = pickle(&[b"}", &text("w"), &weight, b"s", &text("a"), array, b"s"]);
    assert_eq!(
        read(&both).unwrap().notes,
        ["1 NumPy arrays are not counted"]
    );
}

#[test]
fn what_contains_itself_is_read_once() {
    // A list, a dictionary and an object in themselves.
    for opcodes in [
        b"]q\x00h\x00a".to_vec(),
        [b"}q\x00".to_vec(), text("a"), b"h\x00s".to_vec()].concat(),
        b"ccollections\nOrderedDict\n)Rq\x00h\x00b".to_vec(),
    ] {
        assert!(message(&pickle(&[&opcodes])).contains("no tensors"));
    }
    // Thirty lists, each twice the one before: 2³⁰ elements if anything expanded them.
    let mut bomb = b"]q\x00".to_vec();
    for level in 1..30u8 {
        bomb.extend([
            b']',
            b'q',
            level,
            b'h',
            level - 1,
            b'a',
            b'h',
            level - 1,
            b'a',
        ]);
    }
    assert!(message(&pickle(&[&bomb])).contains("no tensors"));
}

/// A module whose children are the values of the memo at the given places.
fn module(children: &[u8]) -> Vec<u8> {
    let mut out = b"cm\nNet\n)\x81}(".to_vec();
    out.extend(
        [
            text("_parameters"),
            b"}".to_vec(),
            text("_modules"),
            b"}(".to_vec(),
        ]
        .concat(),
    );
    for child in children {
        out.extend(text(&format!("c{child}")));
        out.extend([b'h', *child]);
    }
    out.extend(b"uub");
    out
}

#[test]
fn modules_in_themselves_and_shared_without_end() {
    // Each module holds all before it: 2⁶⁰ paths, 60 modules.
    let weight = tensor("0", &[2], &[1], 0, 2);
    let mut opcodes = [
        b"cm\nNet\n)\x81}(".to_vec(),
        text("_modules"),
        b"}".to_vec(),
        text("_parameters"),
        b"}".to_vec(),
        text("weight"),
        weight,
        b"sub\x94".to_vec(),
    ]
    .concat();
    for level in 1..60 {
        let children: Vec<u8> = (0..level).collect();
        opcodes.extend(module(&children));
        opcodes.push(0x94);
    }
    let checkpoint = read(&pickle(&[&opcodes])).unwrap();
    assert_eq!(checkpoint.model.totals.params, 2);
    assert_eq!(checkpoint.model.modules.len(), 60);
    // Nested deeper than names have sense.
    let mut opcodes = module(&[]);
    opcodes.extend([b'q', 0]);
    for _ in 0..200 {
        opcodes.extend(module(&[0]));
        opcodes.extend([b'q', 0]);
    }
    let text = message(&pickle(&[&opcodes]));
    assert!(text.contains("nested more than 128 deep"), "{text}");
}

#[test]
fn deep_nesting() {
    let deep = [vec![b']'; 100_000], vec![b'a'; 99_999]].concat();
    assert!(message(&pickle(&[&deep])).contains("no tensors"));
    let tuples = [vec![b')'], vec![0x85; 100_000]].concat();
    assert!(message(&pickle(&[&tuples])).contains("no tensors"));
    // A storage in a pickle, in a pickle, …
    let mut inner = b"N".to_vec();
    for _ in 0..50 {
        let bytes = pickle(&[&inner]);
        let length = (bytes.len() as u32).to_le_bytes();
        inner = [
            b"ctorch.storage\n_load_from_bytes\nB",
            length.as_slice(),
            &bytes,
            b"\x85R",
        ]
        .concat();
    }
    let wrapped = [
        b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice(),
        &inner,
        b"K\x00))\x89NtR",
    ];
    assert!(message(&pickle(&wrapped)).contains("a storage in the pickle is none"));
}

#[test]
fn absurd_lengths() {
    let most = u64::MAX.to_le_bytes();
    for opcode in [0x8d, 0x8e, 0x96] {
        let text = message(&pickle(&[&[opcode], &most]));
        assert!(
            text.contains("18446744073709551615 bytes should follow"),
            "{text}"
        );
    }
    for opcode in *b"XTB" {
        let text = message(&pickle(&[&[opcode], &[0xff; 4], b"abc"]));
        assert!(text.contains("4294967295 bytes should follow"), "{text}");
    }
    // A frame says nothing that is believed.
    assert!(message(&pickle(&[b"\x95", &most, b"N"])).contains("no tensors"));
    assert!(message(&pickle(&[b"\x8b", &[0xff; 4]])).contains("should follow"));
    // Numbers of the memo.
    let memo = pickle(&[b"Nr\xff\xff\xff\xffj\xff\xff\xff\xff"]);
    assert!(message(&memo).contains("no tensors"));
    assert!(message(&pickle(&[b"Np18446744073709551615\n"])).contains("no tensors"));
    assert!(message(&pickle(&[b"j\xff\xff\xff\xff"])).contains("was never kept"));
}

#[test]
fn the_stack_is_checked() {
    for (opcodes, wanted) in [
        (b"0".as_slice(), "the stack is empty"),
        (b"t", "there is no mark"),
        (b"N(R", "the stack is empty"),
        (b"NNR", "arguments that are no tuple"),
        (b"Na", "the stack is empty"),
        (b"NNa", "appended to no list"),
        (b"NNNs", "set in no dictionary"),
        (b"}(Nu", "a key has no value"),
        (b"NNb", "given to no object"),
        (b"NN\x93", "a global has no name"),
        (b"Ix\n", "a number is expected"),
        (b"Sx\n", "a quoted string is expected"),
        (b"(o", "an object has no class"),
        (b"cos", "ends inside a line"),
        (b"\xff", "0xff is no opcode"),
    ] {
        let text = message(&pickle(&[opcodes]));
        assert!(text.contains(wanted), "{opcodes:?}: {text}");
    }
}

#[test]
fn tensors_that_cannot_be() {
    let of = |tensor: Vec<u8>| message(&state_dict(&tensor));
    let cases = [
        (tensor("0", &[-1], &[1], 0, 6), "no non-negative integer"),
        (tensor("0", &[2, 3], &[1], 0, 6), "2 sizes and 1 strides"),
        (
            tensor("0", &[7], &[1], 0, 6),
            "behind the end of its storage of 24 bytes",
        ),
        (tensor("0", &[6], &[1], 1, 6), "behind the end"),
        (tensor("0", &[2], &[i64::MAX], 0, 6), "behind the end"),
        (
            tensor("0", &[i64::MAX; 3], &[0, 0, 0], 0, 6),
            "more than 2⁶³ elements",
        ),
        (tensor("0", &[1; 65], &[1; 65], 0, 6), "65 dimensions"),
        (tensor("0", &[1], &[1], 0, i64::MAX), "larger than any file"),
        (tensor("0", &[1], &[1], -1, 6), "an offset is no size"),
    ];
    for (tensor, wanted) in cases {
        let text = of(tensor);
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    // Nothing, however large its other sizes, is nothing.
    let empty = state_dict(&tensor("0", &[0, i64::MAX, i64::MAX], &[1, 1, 1], 0, 0));
    assert_eq!(read(&empty).unwrap().model.totals.params, 0);
    let one = tensor("0", &[2], &[1], 0, 2);
    let other = tensor("0", &[2], &[1], 0, 3);
    let two = pickle(&[b"}", &text("a"), &one, b"s", &text("b"), &other, b"s"]);
    assert!(message(&two).contains("one storage is given two sizes"));
}

/// Every format, cut at every 1/64 of its length.
#[test]
fn a_cut_file_is_an_error() {
    for name in [
        "state_dict-2.15.pt",
        "state_dict_legacy-2.15.pt",
        "module_legacy-2.5.pt",
        "plain-2.15.pkl",
        "net.safetensors",
    ] {
        let bytes = fixture(name);
        for part in 0..64 {
            let cut = &bytes[..bytes.len() * part / 64];
            assert!(read_bytes(cut, name).is_err(), "{name}, {part}/64");
        }
        assert!(
            read_bytes(&bytes[..bytes.len() - 1], name).is_err(),
            "{name}"
        );
    }
}

/// Bytes all over every format, replaced. Fuzzing does the rest (see CONTRIBUTING.md).
#[test]
fn no_byte_makes_it_panic() {
    for name in [
        "state_dict-2.5.pt",
        "training-2.15.pt",
        "module_legacy-2.15.pt",
        "types-2.15.pt",
        "plain-2.5.pkl",
        "net.safetensors",
    ] {
        let bytes = fixture(name);
        // Runs of zeros are padding and weights.
        let places = (0..bytes.len()).filter(|at| bytes[*at] != 0);
        for (step, at) in places.enumerate().step_by(101) {
            let mut bytes = bytes.clone();
            bytes[at] = [0xff, 0, b'.', b'R', b't', 1][step % 6];
            let _ = read_bytes(&bytes, name);
        }
    }
}

#[test]
fn data_that_is_missing_from_an_archive() {
    let bytes = fixture("state_dict-2.15.pt");
    // The entry of storage 2 under another name.
    let mut renamed = bytes.clone();
    let name = b"/data/2";
    let places: Vec<usize> = (0..bytes.len() - name.len())
        .filter(|at| bytes[*at..].starts_with(name))
        .collect();
    for at in places {
        renamed[at + name.len() - 1] = b'x';
    }
    let text = message(&renamed);
    assert!(text.contains("data/2 is missing"), "{text}");
}

#[test]
fn headers_of_safetensors() {
    let of = |length: u64, header: &str| {
        let mut bytes = length.to_le_bytes().to_vec();
        bytes.extend(header.bytes());
        match read_bytes(&bytes, "a.safetensors") {
            Err(error) => error.to_string(),
            Ok(checkpoint) => panic!("{checkpoint:?}"),
        }
    };
    let whole = |header: &str| of(header.len() as u64, header);
    assert!(of(u64::MAX, "{}").contains("too large"));
    assert!(of(1000, "{}").contains("invalid header length"));
    assert!(whole("{}").contains("no tensors"));
    assert!(whole("{\"a\": ").contains("invalid JSON"));
    assert!(whole(&format!("{{\"a\": {}", "[".repeat(100_000))).contains("invalid JSON"));
    let entry = |shape: &str, end: &str| {
        format!(
            "{{\"a\": {{\"dtype\": \"F32\", \"shape\": {shape}, \"data_offsets\": [0, {end}]}}}}"
        )
    };
    assert!(whole(&entry("[1]", "4")).contains("header"));
    assert!(whole(&entry("[-1]", "4")).contains("invalid JSON"));
    assert!(
        whole(&entry("[18446744073709551615, 18446744073709551615]", "4")).contains("overflow")
    );
    assert!(whole(&entry("[2]", "4")).contains("invalid shape"));
}

#[test]
fn an_index_names_files_beside_it_only() {
    let folder = std::env::temp_dir().join(format!("modelcost-index-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let of = |index: &str| {
        let path = folder.join("model.safetensors.index.json");
        std::fs::write(&path, index).unwrap();
        match read_path(&path) {
            Err(error) => error.to_string(),
            Ok(checkpoint) => panic!("{checkpoint:?}"),
        }
    };
    for name in ["../x.safetensors", "/dev/zero", "a/b", "..", ""] {
        let text = of(&format!("{{\"weight_map\": {{\"w\": \"{name}\"}}}}"));
        assert!(
            text.contains("no name of a file beside the index"),
            "{text}"
        );
    }
    let missing = of("{\"weight_map\": {\"w\": \"a.safetensors\", \"v\": \"b.safetensors\"}}");
    assert!(
        missing.contains("2 of its 2 files are missing, such as a.safetensors"),
        "{missing}"
    );
    assert!(of("{\"weight_map\": {\"w\": 3}}").contains("weight_map, w"));
    assert!(of("{\"weight_map\": {}}").contains("no tensors"));
    assert!(of("{\"weight_map\": [").contains("line 1"));
    assert!(of(&format!("{{\"x\": {}", "[".repeat(100_000))).contains("no index"));
    // An index of itself, and one of a tensor that its file does not hold.
    let own = "{\"weight_map\": {\"w\": \"model.safetensors.index.json\"}}";
    assert!(of(own).contains("no checkpoint"), "{}", of(own));
    std::fs::write(folder.join("net.safetensors"), fixture("net.safetensors")).unwrap();
    let absent = of("{\"weight_map\": {\"w\": \"net.safetensors\"}}");
    assert!(
        absent.contains("net.safetensors does not hold it"),
        "{absent}"
    );
    std::fs::remove_dir_all(&folder).unwrap();
}
