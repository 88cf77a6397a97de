// SPDX-License-Identifier: MIT
//! Work on many independent items by two threads. There are only two, because a machine that boots
//! or imports an image has other work, too.

use std::thread::{Builder, scope};

/// Below this number of items, the work takes less time than making a thread.
pub const WORTH_A_THREAD: usize = 128;

/// Applies `work` to both halves of `items` and returns the results in order. The halves are
/// processed at the same time if there are enough items and a thread can be made.
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
            // The thread could not be made, or has panicked. The work is done here then, so that a
            // panic reaches the caller.
            Ok(Err(_)) | Err(_) => work(second),
        });
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_the_order_of_the_items() {
        for length in [0, 1, WORTH_A_THREAD - 1, WORTH_A_THREAD, 1001] {
            let items: Vec<usize> = (0..length).collect();
            assert_eq!(halves(&items, |part| part.iter().map(|n| n + 1).collect()), (1..=length).collect::<Vec<_>>());
        }
    }
}
