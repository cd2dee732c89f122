//! SIGKILL at random points: the next run ends as if nothing had been, and
//! nothing is left to clean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

use crate::support::outcome;
use crate::toy::{Given, OPTIONS, Random, Toy, configure, killed, names};

const KILLS: usize = 200;

/// From where a killed run starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum From {
    /// Nothing.
    Cold,
    /// The archive.
    Downloaded,
    /// A kernel with another option.
    OtherOption,
    /// A finished kernel, without its images.
    Compiled,
    /// Finished images, not in their places.
    Stored,
    /// Everything; what is killed is `images gc --max-size 0`.
    Tidying,
}

const FROM: [From; 6] =
    [From::Cold, From::Downloaded, From::OtherOption, From::Compiled, From::Stored, From::Tidying];

impl From {
    /// Brings a project, in which everything is finished, to this point.
    fn arrange(self, project: &Path) {
        let gone: &[&str] = match self {
            Self::Cold => &["cache", "aci-files"],
            Self::Downloaded => &["cache/work-v1", "cache/images-v1", "aci-files"],
            Self::Compiled => &["cache/images-v1", "aci-files"],
            Self::Stored => &["aci-files"],
            Self::OtherOption => &["cache/images-v1"],
            Self::Tidying => &[],
        };
        for name in gone {
            stage1_builder::fsutil::remove_all(&project.join(name)).unwrap();
        }
    }
}

/// What the runs are held against.
struct Wanted {
    /// For each of the options.
    given: [Given; 2],
    /// All names that builds with either leave.
    names: BTreeSet<PathBuf>,
    /// Seconds that a run takes that is not killed.
    seconds: BTreeMap<From, f64>,
}

impl Wanted {
    fn measure(toy: &Toy) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let project = folder.path();
        let mut all = BTreeSet::new();
        let given = OPTIONS.map(|option| {
            configure(project, option);
            let given = Given::by(toy.build(project), project);
            all.append(&mut names(project));
            given
        });
        assert_ne!(given[0], given[1], "the option is in the image");
        let seconds = FROM.map(|from| {
            let option = if from == From::OtherOption { OPTIONS[0] } else { OPTIONS[1] };
            configure(project, option);
            from.arrange(project);
            let start = Instant::now();
            let run = if from == From::Tidying {
                killed(project, 60.0).args(["images", "gc", "--max-size", "0"])
            } else {
                toy.build(project)
            };
            assert_eq!(outcome(run).0, 0);
            let seconds = start.elapsed().as_secs_f64();
            configure(project, OPTIONS[1]);
            Given::by(toy.build(project), project);
            (from, seconds)
        });
        Self { given, names: all, seconds: seconds.into() }
    }

    /// One kill, if it hits, and the run after it. Gives the last line that
    /// the killed one said.
    fn round(&self, toy: &Toy, project: &Path, from: From, random: &mut Random) -> Option<String> {
        let option = usize::try_from(random.below(2)).unwrap();
        if from == From::OtherOption {
            configure(project, OPTIONS[1 - option]);
            Given::by(toy.build(project), project);
        }
        configure(project, OPTIONS[option]);
        from.arrange(project);
        #[expect(clippy::cast_precision_loss, reason = "a share of a second")]
        let share = random.below(10_000) as f64 / 10_000.0;
        let seconds = (self.seconds[&from] * share).max(0.002);
        let run = if from == From::Tidying {
            killed(project, seconds).args(["images", "gc", "--max-size", "0"])
        } else {
            toy.build_killed(project, seconds)
        };
        let (code, _, said) = outcome(run);
        // 124: it ended by itself in the moment in which it was to be killed.
        let killed = match code {
            137 | -1 => true,
            0 | 124 => false,
            _ => panic!("{code}: {said}"),
        };
        let told = format!("{from:?}, killed after {seconds:.3} s:\n{said}");
        let (status, stdout, stderr) = outcome(toy.build(project));
        assert_eq!(status, 0, "{told}\nthe next run: {stderr}");
        let given = Given::of(project, &stdout);
        assert!(given == self.given[option], "{told}\nother bytes: {stderr}");
        let more: Vec<_> = names(project).difference(&self.names).cloned().collect();
        assert!(more.is_empty(), "{told}\nleft behind: {more:?}\n{stderr}");
        killed.then(|| said.lines().last().unwrap_or("before it said a word").to_owned())
    }
}

#[test]
fn killed_at_200_points_the_next_run_gives_the_same_and_nothing_is_left() {
    let toy = Toy::new();
    let wanted = Wanted::measure(&toy);
    println!("undisturbed: {:?}", wanted.seconds);
    let hit = Mutex::new(Vec::new());
    let start = Instant::now();
    let seed = Random::seeded("kills").next();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (toy, wanted, hit) = (&toy, &wanted, &hit);
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                let mut random = Random(seed.wrapping_mul(2 * thread + 1).max(1));
                for turn in 0.. {
                    if hit.lock().unwrap().len() >= KILLS {
                        break;
                    }
                    let from = FROM[turn % FROM.len()];
                    if let Some(line) = wanted.round(toy, folder.path(), from, &mut random) {
                        hit.lock().unwrap().push((from, line));
                    }
                }
            });
        }
    });
    let hit = hit.into_inner().unwrap();
    let mut points = BTreeMap::<_, usize>::new();
    for (from, line) in &hit {
        let stage = line.split_whitespace().next().unwrap_or_default().to_owned();
        *points.entry((*from, stage)).or_default() += 1;
    }
    println!("{} kills in {:?}: {points:#?}", hit.len(), start.elapsed());
    for from in FROM {
        assert!(hit.iter().any(|one| one.0 == from), "never killed: {from:?}");
    }
}
