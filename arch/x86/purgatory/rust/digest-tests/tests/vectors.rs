// SPDX-License-Identifier: GPL-2.0-only

//! Known digests from outside this project.

use purgatory_digest::sha256;
use purgatory_digest_tests::{
    digest,
    engines, //
};

/// NIST's examples for FIPS 180-4, and the lengths around a block.
#[test]
fn sha256_examples() {
    let long = [b'a'; 1_000_000];
    #[rustfmt::skip] // a table
    let cases: [(&[u8], &str); 8] = [
        (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
         "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"),
        (b"abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopq\
          klmnopqrlmnopqrsmnopqrstnopqrstu",
         "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1"),
        (&long[..55], "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"),
        (&long[..56], "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"),
        (&long[..64], "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"),
        (&long, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
    ];

    for (message, expected) in cases {
        assert_eq!(
            hex::encode(sha256(message)),
            expected,
            "{} bytes",
            message.len()
        );
    }
}

/// Tree digests of the bytes `i % 251` with leaves of 1024 bytes, computed with Python's
/// `hashlib`: `sha256(b"".join(sha256(d[i:i+1024]).digest() for i in range(0, n, 1024)) +
/// n.to_bytes(8, "little"))`.
#[test]
fn tree_examples() {
    let data: Vec<u8> = (0..100_000_usize).map(|i| (i % 251) as u8).collect();
    #[rustfmt::skip] // a table
    let cases = [
        (0, "af5570f5a1810b7af78caf4bc70a660f0df51e42baf91d4de5b2328de0e83dfc"),
        (1, "3aa275143d0713bc404144a02208ea1ea840d565fa0c19af486cc65b0a10a267"),
        (1023, "3a972e8fbe44a741d32ebf593846a6c0d79372602ecf53b42d5c6aedd39d3840"),
        (1024, "4605ebbd454c9f52404674ebcb7ca985f54772b2a6f58b91edcbc7ccb31539f7"),
        (1025, "72d985892c0f5a525fd1cbbfd4738cca6697a6d383f29535921e6d7393a98910"),
        (2048, "99e38bc89dec2a381b7b498c1cac7a0c666492f32f4a24998ad2ab1dafdee9d5"),
        (8192, "017fe3cdd0d9fd3726dfeec344be5056dfbd0ed0c3924d3ed5db331909c2af81"),
        (9271, "cbdb4c07565434a61fe69727b57300688a1c57ff9750403ef27052f22cee2159"),
        (16384, "f4eb69b970c9ba00c5577d4a9b87a19a2dcaace95432d51e1754115c78ccd177"),
        (33912, "7c87f41302e5fcf067f9907a53e0a630e2af83b6da69c7d36a361dc61a186d0c"),
        (100000, "0ef18f39949e7ba58f8bba02a62e176234c25fb845a40e84b53f1f636f9e4fd6"),
    ];

    for &engine in engines() {
        for (len, expected) in cases {
            let digest = digest::<1024>(engine, &data[..len]);

            assert_eq!(
                hex::encode(digest),
                expected,
                "{}, {len} bytes",
                engine.name()
            );
        }
    }
}
