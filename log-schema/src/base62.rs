//! Numbers in base62, in a fixed number of digits, so that their texts have one length and order
//! as the numbers do.
//!
//! **Invariant:** the alphabet (digits, capitals, small letters: the order of ASCII) is part of
//! every id that a user has ever seen, and never changes.

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// The digits that hold any `u64`.
pub(crate) const U64_DIGITS: usize = 11;
/// The digits that hold any `u128`.
pub(crate) const U128_DIGITS: usize = 22;

/// Writes the last `count` digits of a number, the highest first.
pub(crate) fn digits(mut number: u128, count: usize) -> String {
    let mut digits = vec!['0'; count];
    for digit in digits.iter_mut().rev() {
        let index = usize::try_from(number % 62).expect("less than 62");
        *digit = char::from(*ALPHABET.get(index).expect("less than 62"));
        number /= 62;
    }
    digits.into_iter().collect()
}

/// Reads digits. None if one is not of the alphabet, or the number is no `u128`.
pub(crate) fn number(digits: &str) -> Option<u128> {
    digits.bytes().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'A'..=b'Z' => digit - b'A' + 10,
            b'a'..=b'z' => digit - b'a' + 36,
            _ => return None,
        };
        number.checked_mul(62)?.checked_add(u128::from(value))
    })
}
