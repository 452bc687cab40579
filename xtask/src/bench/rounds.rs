//! One flood after another, each watched in every way there is.

use std::array;
use std::time::Duration;

use anyhow::Result;

use super::figures::Figures;
use super::flood::Flood;
use super::interrupt;
use super::lab::Lab;

/// From attaching to a steady state.
pub const SETTLE: Duration = Duration::from_millis(200);
/// How many rounds may fail before all of it does: a flood may end by itself on a machine that is busy with others.
const RETRIES: u32 = 2;

/// What one way of watching left of the flood.
#[derive(Default)]
pub struct Rates {
    /// Packets a second.
    pub rate: Figures,
    /// The same, as a share of the first way's rate in the same round.
    pub share: Figures,
}

/// Runs so many rounds. `turn` says at what rate packets pass in one mode, or `None` if that cannot be had here; the
/// first mode is not to watch at all.
pub fn run<M: Copy, const MODES: usize>(
    lab: &Lab,
    rounds: u32,
    modes: [M; MODES],
    mut turn: impl FnMut(&mut Flood, M) -> Result<Option<f64>>,
) -> Result<[Rates; MODES]> {
    let mut measured: [Rates; MODES] = array::from_fn(|_| Rates::default());
    let (mut round, mut failed) = (0, 0);
    while round < rounds {
        eprintln!("round {} of {rounds}", round + 1);
        match one(lab, round % 2 == 1, modes, &mut turn) {
            Ok(rates) => {
                let bare = rates.first().copied().flatten();
                for (rate, measured) in rates.into_iter().zip(&mut measured) {
                    measured.rate.extend(rate);
                    measured.share.extend(rate.zip(bare).map(|(rate, bare)| rate / bare));
                }
                round += 1;
            }
            Err(error) if failed < RETRIES => {
                interrupt::check()?;
                eprintln!("xtask: this round is measured again: {error:#}");
                failed += 1;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(measured)
}

/// Every mode once, in one flood. Every other round goes backwards, so that a machine that slows down or warms up
/// steadily favours none.
fn one<M: Copy, const MODES: usize>(
    lab: &Lab,
    backwards: bool,
    modes: [M; MODES],
    turn: &mut impl FnMut(&mut Flood, M) -> Result<Option<f64>>,
) -> Result<[Option<f64>; MODES]> {
    let mut flood = Flood::start(lab)?;
    let mut rates = [None; MODES];
    let mut turns: Vec<_> = modes.into_iter().zip(&mut rates).collect();
    if backwards {
        turns.reverse();
    }
    for (mode, rate) in turns {
        interrupt::check()?;
        *rate = turn(&mut flood, mode)?;
    }
    Ok(rates)
}
