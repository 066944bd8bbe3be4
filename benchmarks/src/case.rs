//! What is measured.

/// One kind of call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// How the table calls it.
    pub(crate) name: &'static str,
    /// Where the ingress takes it; `{key}` stands for the call's object key.
    path: &'static str,
    /// How many object keys the calls go to, in turn.
    keys: u64,
}

impl Case {
    const fn plain(name: &'static str, path: &'static str) -> Self {
        Self { name, path, keys: 1 }
    }

    /// Where the ingress takes the `number`th call.
    pub(crate) fn path(&self, number: u64) -> String {
        self.path.replace("{key}", &format!("k{}", number % self.keys))
    }
}

/// All kinds, in the order they are measured.
pub(crate) const CASES: &[Case] = &[
    Case::plain("no-op", "/Bench/noop"),
    Case::plain("3 steps", "/Bench/three"),
    Case::plain("9 steps", "/Bench/nine"),
    Case::plain("one hot key", "/Hot/{key}/touch"),
    Case { name: "10,000 keys", path: "/Hot/{key}/count", keys: 10_000 },
    Case::plain("chain of 3", "/First/call"),
];
