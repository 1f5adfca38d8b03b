//! The merkle tree as mining needs it: the coinbase changes with every extranonce, the rest of the tree is a list of branches.

use crate::hash::{Hash256, sha256d, sha256d_of};

/// The root above a coinbase: each branch is joined on the right, from the leaves up.
#[inline]
pub fn root(coinbase: Hash256, branches: &[[u8; 32]]) -> Hash256 {
    branches.iter().fold(coinbase, |node, branch| join(&node.0, branch))
}

/// The branches for the coinbase of a block with these other transactions: ids in internal order, coinbase excluded.
///
/// With witnesses in the block these are still the `txid`s, not the witness hashes (BIP 145).
pub fn branches(txids: &[Hash256]) -> Vec<[u8; 32]> {
    // The place of the coinbase stays empty: level[0] is the node right of it.
    let mut level: Vec<[u8; 32]> = txids.iter().map(|txid| txid.0).collect();
    let mut branches = Vec::new();
    while let Some((&branch, rest)) = level.split_first() {
        branches.push(branch);
        level = rest
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => join(left, right).0,
                [odd] | [odd, ..] => join(odd, odd).0,
                [] => [0; 32],
            })
            .collect();
    }
    branches
}

/// The witness commitment that stands behind `6a24aa21a9ed` in an output of the coinbase (BIP 141): witness ids in internal
/// order, that of the coinbase, which counts as zero, excluded; the reserved value is 32 zero bytes.
pub fn witness_commitment(wtxids: &[Hash256]) -> Hash256 {
    sha256d_of([&root(Hash256::default(), &branches(wtxids)).0[..], &[0; 32]])
}

fn join(left: &[u8; 32], right: &[u8; 32]) -> Hash256 {
    let mut both = [0; 64];
    both[..32].copy_from_slice(left);
    both[32..].copy_from_slice(right);
    sha256d(&both)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hex;
    use proptest::prelude::*;

    #[test]
    fn block_100000_has_the_branches_and_root_it_has() {
        let txids = [
            "fff2525b8931402dd09222c50775608f75787bd2b87e56995a7bdd30f79702c4",
            "6359f0868171b1d194cbee1af2f16ea598ae8fad666d9b012c8ed2b79a236ec4",
            "e9a66845e05d5abc0ad04ec80f774a7e585c6e8db975962d069a522137b80c1d",
        ]
        .map(|txid| Hash256::from_display(txid).unwrap());
        let branches = branches(&txids);
        assert_eq!(
            branches.iter().map(|branch| hex::encode(branch)).collect::<Vec<_>>(),
            [
                "c40297f730dd7b5a99567eb8d27b78758f607507c52292d02d4031895b52f2ff",
                "49aef42d78e3e9999c9e6ec9e1dddd6cb880bf3b076a03be1318ca789089308e",
            ]
        );
        let coinbase = "8c14f0db3df150123e6f3dbbf30f8b955a8249b62ac1d1ff16284aefa3d06d87";
        assert_eq!(
            hex::encode(&root(Hash256::from_display(coinbase).unwrap(), &branches).0),
            "6657a9252aacd5c0b2940996ecff952228c3067cc38d4885efb5a4ac4247e9f3"
        );
    }

    #[test]
    fn a_witness_commitment_covers_all_but_the_coinbase() {
        let wtxids = [1, 2, 3, 4].map(|n| sha256d(format!("fact sheet tx {n}").as_bytes()));
        assert_eq!(
            hex::encode(&root(Hash256::default(), &branches(&wtxids)).0),
            "4d61f14302976697c2f0187967f25eb878613f20703558916fdcd6649d9aa3be"
        );
        assert_eq!(
            hex::encode(&witness_commitment(&wtxids).0),
            "3cdc21321862fcd4d347a666f2a9508990d0efc5e4e7c717918baec523231aa4"
        );
    }

    /// The whole tree, level by level, as Bitcoin builds it.
    fn naive_root(mut level: Vec<Hash256>) -> Hash256 {
        while level.len() > 1 {
            if level.len() % 2 == 1 {
                level.extend(level.last().copied());
            }
            level = level.chunks(2).map(|pair| join(&pair[0].0, &pair[1].0)).collect();
        }
        level[0]
    }

    proptest! {
        #[test]
        fn branches_lead_to_the_root_of_the_whole_tree(leaves in prop::collection::vec(any::<[u8; 32]>(), 1..40)) {
            let leaves: Vec<_> = leaves.into_iter().map(Hash256).collect();
            prop_assert_eq!(root(leaves[0], &branches(&leaves[1..])), naive_root(leaves));
        }
    }
}
