//! The files of a store, listed in little memory: [`Members`] has all names in one text.

/// One file of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Member<'a> {
    /// Path inside the store, with `/` between its parts.
    pub(crate) name: &'a str,
    /// Its size.
    pub(crate) bytes: u64,
    /// Its location in an archive; [`BROKEN`](super::BROKEN) if it is a broken link. In a folder: the time of its last change, in
    /// nanoseconds since 1970, to detect changes.
    pub(crate) place: u64,
}

/// A list of [`Member`]s. It takes 24 bytes and the name for each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Members {
    /// All names, one after the other.
    names: String,
    members: Vec<Fields>,
}

/// A member, without its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fields {
    /// The end of its name in the text. The name begins where that of the member before ends.
    end: usize,
    bytes: u64,
    place: u64,
}

impl Members {
    /// An empty list with memory for `members`, whose names have `name_bytes` in all.
    pub(crate) fn with_capacity(members: usize, name_bytes: usize) -> Self {
        Self {
            names: String::with_capacity(name_bytes),
            members: Vec::with_capacity(members),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(crate) fn push(&mut self, member: Member<'_>) {
        self.push_named(&[member.name], member.bytes, member.place);
    }

    /// Adds a member. `name` is in parts, which are put together.
    pub(crate) fn push_named(&mut self, name: &[&str], bytes: u64, place: u64) {
        name.iter().for_each(|part| self.names.push_str(part));
        let end = self.names.len();
        self.members.push(Fields { end, bytes, place });
    }

    /// Adds all members of `others`.
    pub(crate) fn append(&mut self, others: &Self) {
        others.iter().for_each(|member| self.push(member));
    }

    pub(crate) fn get(&self, index: usize) -> Member<'_> {
        let Fields { end, bytes, place } = self.members[index];
        let start = index.checked_sub(1).map_or(0, |before| self.members[before].end);
        let name = &self.names[start..end];
        Member { name, bytes, place }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = Member<'_>> {
        (0..self.len()).map(|index| self.get(index))
    }

    /// The members with these indices, in their order.
    pub(crate) fn select(&self, indices: impl Iterator<Item = usize> + Clone) -> Self {
        let name_bytes = indices.clone().map(|index| self.get(index).name.len()).sum();
        let mut selected = Self::with_capacity(indices.clone().count(), name_bytes);
        indices.for_each(|index| selected.push(self.get(index)));
        selected
    }

    /// Keeps the members for which `keep` is true, in the memory that they have.
    pub(crate) fn retain(&mut self, keep: impl FnMut(Member<'_>) -> bool) {
        let kept: Vec<bool> = self.iter().map(keep).collect();
        let mut text = std::mem::take(&mut self.names).into_bytes();
        let (mut start, mut length) = (0, 0);
        let mut kept = kept.into_iter();
        self.members.retain_mut(|member| {
            let name = start..member.end;
            start = member.end;
            let is_kept = kept.next().unwrap_or_default();
            if is_kept {
                text.copy_within(name.clone(), length);
                length += name.len();
                member.end = length;
            }
            is_kept
        });
        text.truncate(length);
        self.names = String::from_utf8(text).expect("whole names");
    }

    /// The members, sorted by name, byte by byte.
    pub(crate) fn sorted(self) -> Self {
        if self.is_sorted() {
            return self;
        }
        let mut order: Vec<usize> = (0..self.len()).collect();
        order.sort_by(|&a, &b| self.get(a).name.cmp(self.get(b).name));
        self.select(order.into_iter())
    }

    fn is_sorted(&self) -> bool {
        (1..self.len()).all(|index| self.get(index - 1).name <= self.get(index).name)
    }

    /// In a sorted list, a name that occurs twice.
    pub(crate) fn duplicate(&self) -> Option<&str> {
        let same = |index: &usize| self.get(index - 1).name == self.get(*index).name;
        (1..self.len()).find(same).map(|index| self.get(index).name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Members {
        let mut members = Members::default();
        for (place, name) in (0..).zip(names) {
            let (first, rest) = name.split_at(name.chars().next().map_or(0, char::len_utf8));
            members.push_named(&[first, rest], 10 * place, place);
        }
        members
    }

    fn names(members: &Members) -> Vec<&str> {
        members.iter().map(|member| member.name).collect()
    }

    #[test]
    fn members_are_sorted_selected_and_kept_with_their_fields() {
        let members = list(&["b/2", "a", "ä", "b-1", "b/10"]);
        let (name, bytes, place) = ("b-1", 30, 3);
        assert_eq!(members.get(3), Member { name, bytes, place });
        let mut sorted = members.clone().sorted();
        assert_eq!(names(&sorted), ["a", "b-1", "b/10", "b/2", "ä"]);
        assert_eq!(sorted.get(1), members.get(3));
        assert_eq!(sorted.duplicate(), None);
        assert_eq!(sorted.clone().sorted(), sorted);
        sorted.retain(|member| member.place % 2 == 1);
        assert_eq!(sorted, members.select([1, 3].into_iter()));
        sorted.append(&members.select([3].into_iter()));
        assert_eq!(
            (names(&sorted), sorted.duplicate()),
            (vec!["a", "b-1", "b-1"], Some("b-1"))
        );
        sorted.retain(|_| false);
        assert_eq!(sorted, Members::default());
    }

    #[test]
    fn a_member_takes_24_bytes_and_its_name() {
        assert_eq!(size_of::<Fields>(), 24);
        let members = list(&["a", "b"]).select([1, 0, 1].into_iter());
        assert_eq!((members.members.capacity(), members.names.capacity()), (3, 3));
    }
}
