// SPDX-License-Identifier: MIT
//! Work on many independent things by two threads. A machine at boot has other things to do as well: two, not more.

use std::thread::{Builder, scope};

/// Fewer things than this are done sooner than a thread is made.
pub const WORTH_A_THREAD: usize = 128;

/// Applies `work` to both halves of `items`, at the same time if that is worth it and a thread can be made, and returns
/// what came of them in order.
pub fn halves<T: Sync, R: Send>(items: &[T], work: impl Fn(&[T]) -> Vec<R> + Sync) -> Vec<R> {
    if items.len() < WORTH_A_THREAD {
        return work(items);
    }
    let (first, second) = items.split_at(items.len() / 2);
    scope(|scope| {
        let helper = Builder::new().spawn_scoped(scope, || work(second));
        let mut out = work(first);
        out.extend(match helper.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(rest)) => rest,
            // No thread, or it panicked: the same again, here, where a panic is the caller's.
            Ok(Err(_)) | Err(_) => work(second),
        });
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_whatever_the_number() {
        for length in [0, 1, WORTH_A_THREAD - 1, WORTH_A_THREAD, 1001] {
            let items: Vec<usize> = (0..length).collect();
            assert_eq!(halves(&items, |part| part.iter().map(|n| n + 1).collect()), (1..=length).collect::<Vec<_>>());
        }
    }
}
