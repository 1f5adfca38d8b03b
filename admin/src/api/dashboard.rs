//! The dashboard: the files of `admin/dashboard/`, part of the program, so that the page needs nothing from elsewhere.
//!
//! They hold no figures; the page asks the API for these, with the token that its user gives it.

use super::Request;
use crate::answer::Answer;

/// Where the page is.
const PAGE: &str = "/";
/// What the page may load and do: its own files and this API, nothing inline, in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// A file of the dashboard.
struct File {
    path: &'static str,
    media_type: &'static str,
    content: &'static [u8],
}

macro_rules! file {
    ($path:expr, $name:literal, $media_type:expr) => {
        File {
            path: $path,
            media_type: $media_type,
            content: include_bytes!(concat!("../../dashboard/", $name)),
        }
    };
    ($name:literal, $media_type:expr) => {
        file!(concat!("/dashboard/", $name), $name, $media_type)
    };
}

const FILES: &[File] = &[
    file!(PAGE, "index.html", HTML),
    file!("style.css", STYLE),
    file!("icon.svg", "image/svg+xml"),
    file!("api.js", SCRIPT),
    file!("app.js", SCRIPT),
    file!("charts.js", SCRIPT),
    file!("commands.js", SCRIPT),
    file!("dom.js", SCRIPT),
    file!("drill.js", SCRIPT),
    file!("feed.js", SCRIPT),
    file!("format.js", SCRIPT),
    file!("history.js", SCRIPT),
    file!("latency.js", SCRIPT),
    file!("live.js", SCRIPT),
    file!("machine.js", SCRIPT),
    file!("pools.js", SCRIPT),
    file!("rejects.js", SCRIPT),
    file!("tell.js", SCRIPT),
    file!("theme.js", SCRIPT),
    file!("tiles.js", SCRIPT),
    file!("verdict.js", SCRIPT),
    file!("words.js", SCRIPT),
    file!("worker.js", SCRIPT),
    file!("workers.js", SCRIPT),
    file!("vendor/uplot/uPlot.iife.min.js", SCRIPT),
    file!("vendor/uplot/uPlot.min.css", STYLE),
    file!("vendor/uplot/LICENSE", "text/plain; charset=utf-8"),
];

/// The file at a path, if there is one.
pub(super) fn answer(request: &Request) -> Option<Answer> {
    let (path, _) = request.path_and_query();
    let file = FILES.iter().find(|file| file.path == path)?;
    let answer = Answer::new(200, file.media_type, file.content).conditional(request);
    Some(
        answer
            .with("Content-Security-Policy", POLICY)
            .with("Cross-Origin-Opener-Policy", "same-origin")
            .with("Cross-Origin-Resource-Policy", "same-origin")
            .with("Referrer-Policy", "no-referrer"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;
    use crate::view::latency::BOUNDS_US;

    /// All of it together must come quickly over a slow line; uPlot is half of it.
    const BYTES_MAX: usize = 192 * 1024;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.content).unwrap()
    }

    fn is_foreign(file: &File) -> bool {
        file.path.contains("/vendor/")
    }

    fn of(path: &str) -> &'static File {
        FILES.iter().find(|file| file.path == path).unwrap_or_else(|| panic!("{path} is not served"))
    }

    /// What stands in quotes behind `before`, wherever that is.
    fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).filter_map(|rest| rest.split('"').next())
    }

    #[test]
    fn every_file_of_the_folder_is_served() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("dashboard");
        let (mut folders, mut found) = (vec![root.clone()], BTreeSet::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.file_name().unwrap() != "index.html" {
                    found.insert(format!("/dashboard/{}", path.strip_prefix(&root).unwrap().display()));
                }
            }
        }
        let served: BTreeSet<_> =
            FILES.iter().map(|file| file.path.to_owned()).filter(|p| p != PAGE).collect();
        assert_eq!(served, found);
    }

    #[test]
    fn whatever_a_file_refers_to_is_there() {
        let page = text(of(PAGE));
        let mut links = 0;
        for path in quoted(page, "src=\"").chain(quoted(page, "<link rel=\"icon\" href=\"")) {
            of(path);
            links += 1;
        }
        assert!(links >= 4, "{links}");
        for file in FILES.iter().filter(|file| file.media_type == SCRIPT && !is_foreign(file)) {
            let imports = quoted(text(file), " from \"./").chain(quoted(text(file), "import \"./"));
            for name in imports {
                of(&format!("/dashboard/{name}"));
            }
        }
    }

    #[test]
    fn nothing_in_it_needs_a_looser_policy_or_another_server() {
        let page = text(of(PAGE));
        for inline in ["<style", "style=", "<script>", "javascript:", " onclick", " onload"] {
            assert!(!page.contains(inline), "{inline}");
        }
        for file in FILES.iter().filter(|file| !is_foreign(file)) {
            for outside in ["https://", "http://", "//cdn", "@import", "url("] {
                let text = text(file).replace("http://www.w3.org/2000/svg", "");
                assert!(!text.contains(outside), "{outside} in {}", file.path);
            }
        }
        for loose in [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "eval(",
            "document.write",
            "setAttribute(\"style\"",
        ] {
            let mut ours = FILES.iter().filter(|file| file.media_type == SCRIPT && !is_foreign(file));
            assert!(!ours.any(|file| text(file).contains(loose)), "{loose}");
        }
    }

    #[test]
    fn every_element_that_a_script_asks_for_is_on_the_page() {
        let page = text(of(PAGE));
        let ids: BTreeSet<_> = quoted(page, " id=\"").collect();
        let mut asked = 0;
        for file in FILES.iter().filter(|file| file.media_type == SCRIPT && !is_foreign(file)) {
            for id in quoted(text(file), "$(\"") {
                assert!(ids.contains(id), "{id} in {}", file.path);
                asked += 1;
            }
        }
        assert!(asked > 50, "{asked}");
    }

    #[test]
    fn the_histogram_has_the_bounds_of_the_server() {
        let script = text(of("/dashboard/latency.js"));
        let list = script.split("BOUNDS_US = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let bounds: Vec<u64> = list
            .split(',')
            .map(|bound| bound.trim().replace('_', ""))
            .filter(|bound| !bound.is_empty())
            .map(|bound| bound.parse().unwrap())
            .collect();
        assert_eq!(bounds, BOUNDS_US);
    }

    #[test]
    fn it_is_small() {
        let bytes: usize = FILES.iter().map(|file| file.content.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes}");
    }
}
