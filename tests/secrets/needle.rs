//! What is looked for. The needles are kept masked, and compared so: whoever looks for a key in its own memory must not put it
//! there.

static ZEROS: [u8; 4096] = [0; 4096];

/// Secrets in all the forms that they could show in, each with its name.
pub struct Needles {
    mask: Vec<u8>,
    needles: Vec<(String, Vec<u8>)>,
    /// The needles that begin with these two bytes: all of them that stands unmasked.
    index: Vec<Vec<usize>>,
}

impl Needles {
    pub fn new() -> Self {
        let mut mask = vec![0; 64];
        aws_lc_rs::rand::fill(&mut mask).unwrap();
        Self {
            mask,
            needles: Vec::new(),
            index: vec![Vec::new(); 1 << 16],
        }
    }

    /// What masked needles are XORed with, repeated.
    pub fn mask(&self) -> &[u8] {
        &self.mask
    }

    pub fn add_masked(&mut self, name: impl Into<String>, masked: Vec<u8>) {
        assert!(masked.len() >= 16, "too short to be told from chance");
        let [first, second] = [0, 1].map(|at| usize::from(masked[at] ^ self.mask[at]));
        self.index[first << 8 | second].push(self.needles.len());
        self.needles.push((name.into(), masked));
    }

    /// A secret that this process knows anyway.
    pub fn add(&mut self, name: impl Into<String>, secret: &[u8]) {
        let masked = secret
            .iter()
            .zip(self.mask.iter().cycle())
            .map(|(a, b)| a ^ b)
            .collect();
        self.add_masked(name, masked);
    }

    pub fn longest(&self) -> usize {
        self.needles.iter().map(|(_, masked)| masked.len()).max().unwrap_or(0)
    }

    /// Adds a needle that is there: without it a search proves nothing. It lies in memory as long as the answer does.
    pub fn control(&mut self) -> Box<[u8; 32]> {
        let mut control = Box::new([0; 32]);
        aws_lc_rs::rand::fill(control.as_mut_slice()).unwrap();
        self.add("control", control.as_slice());
        control
    }

    /// The names and places of the needles in `hay`.
    pub fn search(&self, hay: &[u8]) -> Vec<(&str, usize)> {
        let mut found = Vec::new();
        let mut page = 0;
        while page < hay.len() {
            // Most of a process is zeros, and no needle begins with two of them.
            let end = hay.len().min(page + ZEROS.len());
            if hay[page..end] != ZEROS[..end - page] {
                self.search_page(hay, page, end, &mut found);
            }
            page = end;
        }
        found
    }

    fn search_page<'a>(&'a self, hay: &[u8], from: usize, to: usize, found: &mut Vec<(&'a str, usize)>) {
        // A plain loop: this runs unoptimised, over a hundred megabytes.
        let mut at = from;
        let last = hay.len() - 1;
        while at < to && at < last {
            let start = usize::from(hay[at]) << 8 | usize::from(hay[at + 1]);
            for candidate in &self.index[start] {
                let (name, masked) = &self.needles[*candidate];
                if self.is_at(masked, &hay[at..]) {
                    found.push((name, at));
                }
            }
            at += 1;
        }
    }

    fn is_at(&self, masked: &[u8], hay: &[u8]) -> bool {
        let masks = self.mask.iter().cycle();
        hay.len() >= masked.len() && masked.iter().zip(masks).zip(hay).all(|((m, k), h)| m ^ k == *h)
    }
}
