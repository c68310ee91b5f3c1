//! How many cores are worth a thread.

/// Threads of a session where nobody says how many: one for each fast core that this process may use.
///
/// Where all cores are alike that is all of them. Phones have slow ones beside the fast: a step is over when the last of
/// its tasks is, and a slow core that took one at the end makes the fast ones wait for it.
pub fn default_threads() -> usize {
    let available = std::thread::available_parallelism().map_or(1, usize::from);
    fast_cores().map_or(available, |fast| fast.clamp(1, available))
}

/// How many fast cores there are, where the system says so.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn fast_cores() -> Option<usize> {
    linux::fast_cores(std::path::Path::new("/"))
}

/// How many fast cores there are, where the system says so.
#[cfg(target_vendor = "apple")]
fn fast_cores() -> Option<usize> {
    use std::ffi::{c_char, c_int, c_void};
    // SAFETY: as <sys/sysctl.h> declares it.
    unsafe extern "C" {
        fn sysctlbyname(
            name: *const c_char,
            old: *mut c_void,
            old_len: *mut usize,
            new: *const c_void,
            new_len: usize,
        ) -> c_int;
    }
    let mut cores: c_int = 0;
    let mut len = size_of_val(&cores);
    // Level 0 is that of the fastest cores.
    let name = c"hw.perflevel0.logicalcpu".as_ptr();
    // SAFETY: the name ends with 0, `cores` has room for `len` bytes, and nothing is set.
    let status = unsafe { sysctlbyname(name, (&raw mut cores).cast(), &mut len, std::ptr::null(), 0) };
    usize::try_from(cores).ok().filter(|&n| status == 0 && n > 0)
}

/// How many fast cores there are, where the system says so.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn fast_cores() -> Option<usize> {
    None
}

#[cfg(any(target_os = "linux", target_os = "android"))]
mod linux {
    use std::{fs, path::Path};

    /// What the kernel says of a core's speed, and what part of the fastest core's makes a core a fast one. The first is
    /// what a core gets done, and slow ones get done a third or less; the second is its clock only, which is two thirds to
    /// three quarters of the fastest's for slow cores, and more for those in between.
    const MEASURES: [(&str, f64); 2] = [("cpu_capacity", 0.5), ("cpufreq/cpuinfo_max_freq", 0.8)];

    /// Counts the fast ones of the cores that this process may use, in the system that has its root there. `None` where
    /// a measure of all of them is missing.
    pub fn fast_cores(root: &Path) -> Option<usize> {
        let cores = cores(&fs::read_to_string(root.join("proc/self/status")).ok()?)?;
        let cpus = root.join("sys/devices/system/cpu");
        MEASURES.iter().find_map(|&(file, part)| {
            let read = |core: &usize| -> Option<f64> {
                fs::read_to_string(cpus.join(format!("cpu{core}/{file}"))).ok()?.trim().parse().ok()
            };
            let speeds = cores.iter().map(read).collect::<Option<Vec<f64>>>()?;
            let fastest = speeds.iter().copied().fold(0.0, f64::max);
            Some(speeds.iter().filter(|&&s| s >= part * fastest).count())
        })
    }

    /// The cores that a process may use, by the text of its `status`: lists such as `0-3,6`.
    fn cores(status: &str) -> Option<Vec<usize>> {
        let list = status.lines().find_map(|l| l.strip_prefix("Cpus_allowed_list:"))?;
        let mut all = Vec::new();
        for part in list.trim().split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
            // No system has more; a nonsensical list must not take long.
            all.extend((first..=last).take(1 << 16));
        }
        Some(all)
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// A system whose cores have these capacities or clocks, and a process that may use those of the list.
        fn fast(allowed: &str, file: &str, speeds: &[Option<u32>]) -> Option<usize> {
            let root = tempfile::tempdir().unwrap();
            let put = |path: String, text: String| {
                let path = root.path().join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            };
            put("proc/self/status".into(), format!("Name:\tx\nCpus_allowed_list:\t{allowed}\nMems_allowed:\t1\n"));
            for (i, speed) in speeds.iter().enumerate() {
                if let Some(speed) = speed {
                    put(format!("sys/devices/system/cpu/cpu{i}/{file}"), format!("{speed}\n"));
                }
            }
            fast_cores(root.path())
        }

        const CLOCK: &str = "cpufreq/cpuinfo_max_freq";

        #[test]
        fn cores_that_are_alike_are_all_fast() {
            assert_eq!(fast("0-3", "cpu_capacity", &[Some(1024); 4]), Some(4));
            // Some are made to reach a little more.
            let clocks = [5_600_000, 5_600_000, 5_700_000, 5_300_000].map(Some);
            assert_eq!(fast("0-3", CLOCK, &clocks), Some(4));
        }

        #[test]
        fn slow_cores_do_not_count() {
            let [little, middle, big] = [325, 828, 1024].map(Some);
            let capacities = [little, little, little, little, middle, middle, middle, big];
            assert_eq!(fast("0-7", "cpu_capacity", &capacities), Some(4));
            let [little, middle, big] = [1_804_800, 2_419_200, 2_841_600].map(Some);
            let clocks = [little, little, little, little, middle, middle, middle, big];
            assert_eq!(fast("0-7", CLOCK, &clocks), Some(4));
        }

        #[test]
        fn only_cores_that_the_process_may_use_count() {
            let [little, big] = [300, 1024].map(Some);
            let capacities = [little, little, big, big];
            assert_eq!(fast("0-1", "cpu_capacity", &capacities), Some(2), "the fastest of these");
            assert_eq!(fast("0,2", "cpu_capacity", &capacities), Some(1));
        }

        #[test]
        fn nothing_is_known_where_a_core_says_nothing() {
            assert_eq!(fast("0-2", CLOCK, &[Some(2_000_000), None, Some(2_000_000)]), None);
            assert_eq!(fast("", "cpu_capacity", &[Some(1024)]), None);
            assert_eq!(fast("0-x", "cpu_capacity", &[Some(1024)]), None);
            assert_eq!(fast_cores(Path::new("/nowhere/at/all")), None);
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn there_are_no_more_threads_than_cores() {
        let available = std::thread::available_parallelism().unwrap().get();
        assert!((1..=available).contains(&super::default_threads()));
    }
}
