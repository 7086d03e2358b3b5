//! The page itself: alone in the world, and under its own policy. What it does in a browser, `.ci/browser` looks at.

use undying::observer::Observer;

use super::client::{Answer, get};

fn nonce(page: &Answer) -> String {
    let policy = page.header("content-security-policy").expect("a policy");
    let (_, rest) = policy.split_once("script-src 'nonce-").expect("a nonce for its script");
    rest.split('\'').next().expect("it ends").to_owned()
}

both! {
    async fn only_its_own_script_runs_in_the_page() {
        let observer = Observer::new().start().await.unwrap();
        let page = get(&observer, "/").await;
        assert_eq!((page.status, page.header("content-type")), (200, Some("text/html; charset=utf-8")));
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
        let nonce = nonce(&page);
        assert_eq!(nonce.len(), 32);
        for tag in ["<script", "<style"] {
            assert_eq!(page.body.matches(tag).count(), 1);
            assert!(page.body.contains(&format!("{tag} nonce=\"{nonce}\">")));
        }
        assert!(!page.body.contains("{nonce}"));
        assert_ne!(nonce, self::nonce(&get(&observer, "/").await), "another one each time");
    }

    async fn the_page_needs_nothing_but_itself() {
        let observer = Observer::new().start().await.unwrap();
        let page = get(&observer, "/").await.body;
        for outside in ["src=", "@import", "url(", "style=\"", "//cdn", "https:"] {
            assert!(!page.contains(outside), "{outside}");
        }
        let addresses: Vec<_> = page.match_indices("http:").map(|(at, _)| &page[at..at + 26]).collect();
        assert_eq!(addresses, ["http://www.w3.org/2000/svg"; 2], "the name of a language, not a place");
        for markup in ["innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("] {
            assert!(!page.contains(markup), "{markup} makes markup of what a server says");
        }
        assert!(!page.contains(observer.token()));
    }
}
