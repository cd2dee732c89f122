//! `init`: the first process of a guest. See [`stage1_builder_guest::init`].

fn main() {
    stage1_builder_guest::init::main();
}
