//! How two partitions of the same leads differ.

use std::collections::{BTreeMap, BTreeSet};

use super::partition::{Number, place};

/// What is different.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// People whom the leads are of at first.
    pub before: usize,
    /// And then.
    pub after: usize,
    /// Those of the first who would be several.
    pub split: usize,
    /// Those of the first who would be one with others.
    pub joined: usize,
    /// Leads that would be somebody else's, when everybody keeps the most of theirs.
    pub moved: usize,
    /// The people whom it touches, those with the most moved leads first.
    pub groups: Vec<Group>,
}

/// People whose leads would be divided in another way, and nobody else's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// They as they are.
    pub before: Vec<Part>,
    /// They as they would be.
    pub after: Vec<Part>,
    /// Leads that would be somebody else's.
    pub moved: usize,
}

/// One person of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Who.
    pub person: Number,
    /// How many leads they have.
    pub leads: usize,
    /// The place of the first of them among all leads, from 0.
    pub first: usize,
}

impl Difference {
    /// Compares whose each lead is. What it takes in memory beside its result is eight bytes for each person, and more only
    /// for those whom the difference touches.
    pub fn between(before: &[Number], after: &[Number]) -> Self {
        let (forth, back) = (counterparts(before, after), counterparts(after, before));
        let touched = |one: Number, other: Number| {
            forth.get(place(one)) == Some(&SEVERAL) || back.get(place(other)) == Some(&SEVERAL)
        };
        let mut common = Common::new();
        for (at, (one, other)) in before.iter().zip(after).enumerate() {
            if touched(*one, *other) {
                common.entry((*one, *other)).or_insert((0, at)).0 += 1;
            }
        }
        let people = |counterparts: &[Number]| counterparts.iter().filter(|other| **other != NOBODY).count();
        let mut difference = Self { before: people(&forth), after: people(&back), ..Self::default() };
        for edges in connected(&common) {
            let group = Group::of(&edges, &common);
            difference.moved += group.moved;
            difference.groups.push(group);
        }
        let mut degrees: (BTreeMap<Number, usize>, BTreeMap<Number, usize>) = Default::default();
        for (one, other) in common.keys() {
            *degrees.0.entry(*one).or_default() += 1;
            *degrees.1.entry(*other).or_default() += 1;
        }
        difference.split = degrees.0.values().filter(|others| **others > 1).count();
        let joined = common.keys().filter(|(_, other)| degrees.1.get(other).is_some_and(|ones| *ones > 1));
        difference.joined = joined.map(|(one, _)| one).collect::<BTreeSet<_>>().len();
        difference.groups.sort_by_key(|group| {
            (std::cmp::Reverse(group.moved), group.before.iter().map(|part| part.first).min())
        });
        difference
    }
}

/// A person without leads.
const NOBODY: Number = Number::MAX;
/// A person whose leads are of several in the other partition.
const SEVERAL: Number = Number::MAX - 1;

/// By person: the one in the other partition who has the same leads or more, or [`SEVERAL`].
fn counterparts(these: &[Number], others: &[Number]) -> Vec<Number> {
    let people = these.iter().max().map_or(0, |most| place(*most) + 1);
    let mut counterparts = vec![NOBODY; people];
    for (this, other) in these.iter().zip(others) {
        if let Some(found) = counterparts.get_mut(place(*this)) {
            *found = match *found {
                NOBODY => *other,
                same if same == *other => same,
                _ => SEVERAL,
            };
        }
    }
    counterparts
}

/// By two people, one of each partition: how many leads they have in common, and the place of the first.
type Common = BTreeMap<(Number, Number), (usize, usize)>;

/// The pairs by group: who has a lead in common with somebody of a group belongs to it.
fn connected(common: &Common) -> Vec<Vec<(Number, Number)>> {
    let mut back: BTreeMap<Number, Vec<Number>> = BTreeMap::new();
    for (one, other) in common.keys() {
        back.entry(*other).or_default().push(*one);
    }
    let mut seen = BTreeSet::new();
    let mut groups = Vec::new();
    for (first, _) in common.keys() {
        if !seen.insert(*first) {
            continue;
        }
        let (mut edges, mut next) = (Vec::new(), vec![*first]);
        while let Some(one) = next.pop() {
            for (pair, _) in common.range((one, 0)..=(one, Number::MAX)) {
                edges.push(*pair);
                let neighbours = back.get(&pair.1).into_iter().flatten();
                next.extend(neighbours.filter(|neighbour| seen.insert(**neighbour)));
            }
        }
        groups.push(edges);
    }
    groups
}

impl Group {
    fn of(edges: &[(Number, Number)], common: &Common) -> Self {
        let (mut before, mut after): (BTreeMap<Number, Part>, BTreeMap<Number, Part>) = Default::default();
        let mut weights: Vec<(usize, usize, (Number, Number))> = Vec::new();
        for pair in edges {
            let Some((leads, first)) = common.get(pair) else { continue };
            weights.push((*leads, *first, *pair));
            for (parts, person) in [(&mut before, pair.0), (&mut after, pair.1)] {
                let part = parts.entry(person).or_insert(Part { person, leads: 0, first: *first });
                part.leads += leads;
                part.first = part.first.min(*first);
            }
        }
        // Everybody stays who they have the most leads of, the first comers when it is a draw.
        weights.sort_by_key(|(leads, first, _)| (std::cmp::Reverse(*leads), *first));
        let (mut taken, mut stay) = ((BTreeSet::new(), BTreeSet::new()), 0);
        for (leads, _, (one, other)) in &weights {
            if !taken.0.contains(one) && !taken.1.contains(other) {
                taken.0.insert(*one);
                taken.1.insert(*other);
                stay += leads;
            }
        }
        let all: usize = weights.iter().map(|(leads, _, _)| leads).sum();
        let in_order = |parts: BTreeMap<Number, Part>| {
            let mut parts: Vec<Part> = parts.into_values().collect();
            parts.sort_by_key(|part| (std::cmp::Reverse(part.leads), part.first));
            parts
        };
        Self { before: in_order(before), after: in_order(after), moved: all - stay }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(before: &[Number], after: &[Number], split: usize, joined: usize, moved: &[usize]) {
        let difference = Difference::between(before, after);
        let groups: Vec<usize> = difference.groups.iter().map(|group| group.moved).collect();
        assert_eq!((difference.split, difference.joined, &*groups), (split, joined, moved), "{difference:?}");
        assert_eq!(difference.moved, moved.iter().sum::<usize>());
    }

    #[test]
    fn what_is_split_joined_and_moved() {
        check(&[], &[], 0, 0, &[]);
        check(&[0, 1, 0, 2], &[7, 3, 7, 1], 0, 0, &[]);
        check(&[0, 0, 0], &[0, 0, 1], 1, 0, &[1]);
        check(&[0, 0, 1], &[5, 5, 5], 0, 2, &[1]);
        // A lead goes from one to another: the first is split, and both have to do with the second as it will be.
        check(&[0, 0, 0, 1, 1], &[0, 0, 1, 1, 1], 1, 2, &[1]);
        // Two groups, the larger first, and somebody who stays.
        check(&[0, 0, 9, 1, 1, 1, 1], &[0, 1, 8, 2, 2, 3, 3], 2, 0, &[2, 1]);
    }

    #[test]
    fn a_group_names_everybody_whom_it_touches() {
        let difference = Difference::between(&[0, 0, 0, 1, 2], &[0, 0, 1, 1, 2]);
        let part = |person, leads, first| Part { person, leads, first };
        let expect = Group {
            before: vec![part(0, 3, 0), part(1, 1, 3)],
            after: vec![part(0, 2, 0), part(1, 2, 2)],
            moved: 1,
        };
        assert_eq!(difference.groups, [expect]);
        assert_eq!((difference.before, difference.after), (3, 3));
    }

    proptest! {
        #[test]
        fn there_and_back_differ_alike_and_nothing_differs_from_itself(
            pairs in prop::collection::vec((0..9_u32, 0..9_u32), 0..40)
        ) {
            let (one, other): (Vec<Number>, Vec<Number>) = pairs.into_iter().unzip();
            let (there, back) = (Difference::between(&one, &other), Difference::between(&other, &one));
            prop_assert_eq!(there.moved, back.moved);
            prop_assert_eq!(there.groups.len(), back.groups.len());
            let leads = |difference: &Difference| -> usize {
                difference.groups.iter().flat_map(|group| &group.after).map(|part| part.leads).sum()
            };
            prop_assert_eq!(leads(&there), leads(&back));
            prop_assert!(Difference::between(&one, &one).groups.is_empty());
        }
    }
}
