//! What is measured.

/// One kind of call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// How the table calls it.
    pub(crate) name: &'static str,
    /// Where the ingress takes it.
    pub(crate) path: &'static str,
}

/// All kinds, in the order they are measured.
pub(crate) const CASES: &[Case] = &[
    Case { name: "no-op", path: "/Bench/noop" },
    Case { name: "3 steps", path: "/Bench/three" },
    Case { name: "9 steps", path: "/Bench/nine" },
    Case { name: "one hot key", path: "/Hot/key/touch" },
];
