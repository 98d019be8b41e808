//! Everything that the fuzzers have found worth keeping, replayed without them.

use std::path::Path;

#[test]
fn the_corpus_breaks_no_promise() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus");
    for (name, target) in compat_tests::fuzz::TARGETS {
        let files = std::fs::read_dir(corpus.join(name));
        let files = files.unwrap_or_else(|error| panic!("no corpus of {name}: {error}"));
        let mut count = 0;
        for file in files {
            target(&std::fs::read(file.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus of {name} is empty");
    }
}
