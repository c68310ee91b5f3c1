//! Partitioned Boolean quadratic programming: choose one alternative per node so that the sum of node and edge costs is
//! small. Nodes of degree up to two are reduced exactly, others by a local choice; see Scholz and Eckstein, "Register
//! Allocation for Irregular Architectures" (2002), and Anderson and Gregg, "Optimal DNN Primitive Selection with
//! Partitioned Boolean Quadratic Programming" (2018).

use std::collections::{BTreeMap, BTreeSet};

/// A cost that forbids.
pub(crate) const NEVER: f64 = 1e30;

type Matrix = Vec<Vec<f64>>;

/// A problem under construction.
#[derive(Default)]
pub(crate) struct Pbqp {
    costs: Vec<Vec<f64>>,
    /// By lower and higher node; rows belong to the lower.
    edges: BTreeMap<(usize, usize), Matrix>,
    neighbours: Vec<BTreeSet<usize>>,
}

impl Pbqp {
    /// Adds a node with the cost of each alternative; returns its index.
    pub fn node(&mut self, costs: Vec<f64>) -> usize {
        self.costs.push(costs);
        self.neighbours.push(BTreeSet::new());
        self.costs.len() - 1
    }

    /// Adds `cost` to alternative `a` of `node`.
    pub fn add_cost(&mut self, node: usize, a: usize, cost: f64) {
        self.costs[node][a] = (self.costs[node][a] + cost).min(NEVER);
    }

    /// Adds a cost for every pair of alternatives of two different nodes.
    pub fn add_edge(&mut self, u: usize, v: usize, cost: impl Fn(usize, usize) -> f64) {
        let (low, high) = (u.min(v), u.max(v));
        let (rows, columns) = (self.costs[low].len(), self.costs[high].len());
        let m = self.edges.entry((low, high)).or_insert_with(|| vec![vec![0.0; columns]; rows]);
        for (i, row) in m.iter_mut().enumerate() {
            for (j, c) in row.iter_mut().enumerate() {
                *c = (*c + if u < v { cost(i, j) } else { cost(j, i) }).min(NEVER);
            }
        }
        self.neighbours[u].insert(v);
        self.neighbours[v].insert(u);
    }

    fn edge(&self, u: usize, v: usize, i: usize, j: usize) -> f64 {
        if u < v { self.edges[&(u, v)][i][j] } else { self.edges[&(v, u)][j][i] }
    }

    fn detach(&mut self, u: usize) -> Vec<usize> {
        let around: Vec<usize> = std::mem::take(&mut self.neighbours[u]).into_iter().collect();
        for &v in &around {
            self.neighbours[v].remove(&u);
        }
        around
    }

    /// The alternative of each node.
    pub fn solve(mut self) -> Vec<usize> {
        let n = self.costs.len();
        let mut by_degree: BTreeSet<(usize, usize)> = (0..n).map(|u| (self.neighbours[u].len(), u)).collect();
        // Reduced nodes with what was around them then, to be settled in reverse.
        let mut reduced: Vec<(usize, Vec<usize>)> = Vec::with_capacity(n);
        let mut fixed: Vec<Option<usize>> = vec![None; n];
        while let Some(&(degree, smallest)) = by_degree.first() {
            let u = if degree <= 2 { smallest } else { by_degree.last().expect("not empty").1 };
            let around: Vec<usize> = self.neighbours[u].iter().copied().collect();
            by_degree.remove(&(self.neighbours[u].len(), u));
            for &v in &around {
                by_degree.remove(&(self.neighbours[v].len(), v));
            }
            match around[..] {
                [] => {}
                [v] => self.reduce_one(u, v),
                [v, w] => self.reduce_two(u, v, w),
                _ => fixed[u] = Some(self.reduce_many(u, &around)),
            }
            self.detach(u);
            for &v in &around {
                by_degree.insert((self.neighbours[v].len(), v));
            }
            reduced.push((u, around));
        }
        let mut choice = vec![0; n];
        for (u, around) in reduced.into_iter().rev() {
            choice[u] = fixed[u]
                .unwrap_or_else(|| self.cheapest(u, |s, i| around.iter().map(|&v| s.edge(u, v, i, choice[v])).sum()));
        }
        choice
    }

    fn cheapest(&self, u: usize, extra: impl Fn(&Pbqp, usize) -> f64) -> usize {
        let total = |i: usize| self.costs[u][i] + extra(self, i);
        (0..self.costs[u].len()).min_by(|&a, &b| total(a).total_cmp(&total(b))).unwrap_or(0)
    }

    fn best_over(&self, u: usize, cost: impl Fn(usize) -> f64) -> f64 {
        (0..self.costs[u].len()).map(|i| self.costs[u][i] + cost(i)).fold(NEVER, f64::min)
    }

    fn reduce_one(&mut self, u: usize, v: usize) {
        let gain: Vec<f64> = (0..self.costs[v].len()).map(|j| self.best_over(u, |i| self.edge(u, v, i, j))).collect();
        for (j, g) in gain.into_iter().enumerate() {
            self.add_cost(v, j, g);
        }
    }

    fn reduce_two(&mut self, u: usize, v: usize, w: usize) {
        let delta: Matrix = (0..self.costs[v].len())
            .map(|j| {
                (0..self.costs[w].len())
                    .map(|k| self.best_over(u, |i| self.edge(u, v, i, j) + self.edge(u, w, i, k)))
                    .collect()
            })
            .collect();
        self.add_edge(v, w, |j, k| delta[j][k]);
    }

    /// Settles a node of high degree by what its neighbours could do at best.
    fn reduce_many(&mut self, u: usize, around: &[usize]) -> usize {
        let best = self.cheapest(u, |s, i| around.iter().map(|&v| s.best_over(v, |j| s.edge(u, v, i, j))).sum());
        for &v in around {
            for j in 0..self.costs[v].len() {
                let c = self.edge(u, v, best, j);
                self.add_cost(v, j, c);
            }
        }
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(costs: &[Vec<f64>], edges: &[(usize, usize, Matrix)], choice: &[usize]) -> f64 {
        let nodes: f64 = costs.iter().zip(choice).map(|(c, &i)| c[i]).sum();
        nodes + edges.iter().map(|(u, v, m)| m[choice[*u]][choice[*v]]).sum::<f64>()
    }

    fn exhaustive(costs: &[Vec<f64>], edges: &[(usize, usize, Matrix)]) -> f64 {
        let combinations: usize = costs.iter().map(Vec::len).product();
        (0..combinations)
            .map(|mut k| {
                let choice: Vec<usize> = costs
                    .iter()
                    .map(|c| {
                        let i = k % c.len();
                        k /= c.len();
                        i
                    })
                    .collect();
                total(costs, edges, &choice)
            })
            .fold(f64::MAX, f64::min)
    }

    /// Chains, diamonds and trees reduce exactly; a dense graph must still come near the best.
    #[test]
    fn agrees_with_exhaustive_search() {
        let mut seed = 1u64;
        let mut random = || {
            seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (seed >> 33) as f64 / 1e6
        };
        let shapes: [(&[(usize, usize)], f64); 4] = [
            (&[(0, 1), (1, 2), (2, 3), (3, 4)], 1.0),
            (&[(0, 1), (0, 2), (1, 3), (2, 3), (3, 4)], 1.0),
            (&[(2, 0), (2, 1), (4, 2), (3, 2)], 1.0),
            (&[(0, 1), (0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4), (2, 3), (2, 4), (3, 4)], 1.6),
        ];
        for (pairs, slack) in shapes {
            for _ in 0..20 {
                let costs: Vec<Vec<f64>> = (0..5).map(|i| (0..2 + i % 3).map(|_| random()).collect()).collect();
                let edges: Vec<(usize, usize, Matrix)> = pairs
                    .iter()
                    .map(|&(u, v)| {
                        let m = (0..costs[u].len()).map(|_| (0..costs[v].len()).map(|_| random()).collect()).collect();
                        (u, v, m)
                    })
                    .collect();
                let mut p = Pbqp::default();
                for c in &costs {
                    p.node(c.clone());
                }
                for (u, v, m) in &edges {
                    p.add_edge(*u, *v, |i, j| m[i][j]);
                }
                let found = total(&costs, &edges, &p.solve());
                let best = exhaustive(&costs, &edges);
                assert!(found <= best * slack + 1e-6, "{found} against {best} on {pairs:?}");
            }
        }
    }
}
