//! Who may look: the token, the name of the host, and what is not allowed to other sites.

use std::{io::ErrorKind, net::Ipv4Addr, time::Duration};

use undying::{
    Status,
    observer::{Observer, ObserverHandle},
};

use super::{
    clerk,
    client::{Answer, get, send},
};
use crate::crash::script::stop;

const PATHS: [&str; 4] = ["/", "/api/tree", "/api/events", "/nowhere"];

async fn observer() -> ObserverHandle {
    Observer::new().token("right & proper".replace(' ', "_")).start().await.expect("a port is free")
}

async fn get_as(observer: &ObserverHandle, path: &str, headers: &str) -> Answer {
    send(observer.addr(), &format!("GET {path} HTTP/1.1\r\nHost: localhost{headers}")).await
}

both! {
    async fn without_the_token_nothing_is_said() {
        let observer = observer().await;
        for path in PATHS {
            for headers in [
                "",
                "\r\nAuthorization: Bearer wrong",
                "\r\nAuthorization: Bearer ",
                "\r\nAuthorization: Bearer",
                "\r\nAuthorization: Bearer right_&_prope",
                "\r\nAuthorization: Bearer right_&_proper_",
                "\r\nAuthorization: Bearer Right_&_proper",
                "\r\nAuthorization: Basic right_&_proper",
                "\r\nAuthorization: right_&_proper",
                "\r\nCookie: token=right_&_proper",
            ] {
                let answer = get_as(&observer, path, headers).await;
                assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{path} {headers}");
                assert!(answer.error().contains("token"));
            }
            for query in ["?token=wrong", "?token=", "?token", "?other=right_%26_proper", "?token=right_&_proper"] {
                assert_eq!(get_as(&observer, &format!("{path}{query}"), "").await.status, 401, "{path}{query}");
            }
        }
    }

    async fn the_token_opens_by_header_and_by_address() {
        let observer = observer().await;
        assert!(observer.url().ends_with("/?token=right_%26_proper"));
        for headers in ["\r\nAuthorization: Bearer right_&_proper", "\r\nauthorization: bearer right_&_proper"] {
            assert_eq!(get_as(&observer, "/api/tree", headers).await.status, 200);
        }
        assert_eq!(get_as(&observer, "/?token=right_%26_proper", "").await.status, 200);
        assert_eq!(get_as(&observer, "/api/tree?other=1&token=right_%26_proper", "").await.status, 200);
        // A wrong header is not made good by the address.
        let both = get_as(&observer, "/?token=right_%26_proper", "\r\nAuthorization: Bearer wrong").await;
        assert_eq!(both.status, 401);
    }

    async fn orders_are_taken_by_the_header_only() {
        let radio = clerk("").start().await.unwrap();
        let observer = Observer::new().server(&radio).start().await.unwrap();
        let (id, token) = (radio.id().to_string(), observer.token());
        let order = format!("POST /api/servers/{}/suspend?token={token} HTTP/1.1\r\nHost: localhost", &id[1..]);
        assert_eq!(send(observer.addr(), &order).await.status, 401);
        assert_eq!(radio.status(), Status::Running);
        let order = format!("{order}\r\nAuthorization: Bearer {token}");
        assert_eq!(send(observer.addr(), &order).await.status, 200);
        assert_eq!(radio.status(), Status::Suspended);
        stop(&radio).await;
    }

    async fn each_has_a_token_of_its_own() {
        let (one, other) = (Observer::new().start().await.unwrap(), Observer::new().start().await.unwrap());
        assert_ne!(one.token(), other.token());
        assert_eq!(one.token().len(), 32);
        assert_eq!(one.url(), format!("http://{}/?token={}", one.addr(), one.token()));
        let request = format!("GET /api/tree HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}", one.token());
        assert_eq!(send(one.addr(), &request).await.status, 200);
        assert_eq!(send(other.addr(), &request).await.status, 401);
        assert!(!format!("{one:?} {:?}", Observer::new().token("secret")).contains("secret"));
        assert!(!format!("{one:?}").contains(one.token()));
    }

    async fn only_names_that_nobody_else_can_have_are_answered_to() {
        let observer = Observer::new().host("observer.example").start().await.unwrap();
        let ask = async |host: &str| {
            let token = observer.token();
            let request = format!("GET /api/tree HTTP/1.1{host}\r\nAuthorization: Bearer {token}");
            send(observer.addr(), &request).await
        };
        for host in [
            "127.0.0.1", "127.0.0.1:80", "192.0.2.7:8080", "[::1]", "[::1]:80", "localhost", "LocalHost:9000",
            "observer.example", "Observer.Example:443",
        ] {
            assert_eq!(ask(&format!("\r\nHost: {host}")).await.status, 200, "{host}");
        }
        for host in [
            "evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.evil.example", "127.0.0.1@evil.example",
            "observer.example.evil.example", "", ":80", "[evil.example]", "[::1", "::1", "127.1", "0x7f000001",
        ] {
            let answer = ask(&format!("\r\nHost: {host}")).await;
            // What is no host at all is refused before it is asked about.
            assert!(matches!(answer.status, 400 | 403), "{host:?} got {}", answer.status);
        }
        let evil = ask("\r\nHost: evil.example").await;
        assert_eq!((evil.status, evil.error().contains("localhost")), (403, true));
        assert_eq!(ask("\r\nHost: localhost\r\nHost: evil.example").await.status, 403);
        assert_eq!(ask("").await.status, 403);
        let proxied = format!("GET http://evil.example/api/tree HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}", observer.token());
        assert_eq!(send(observer.addr(), &proxied).await.status, 403);
    }

    async fn a_stranger_learns_nothing_of_the_token() {
        let observer = observer().await;
        let request = |rest: &str| format!("GET /api/tree HTTP/1.1\r\nHost: evil.example{rest}");
        let right = send(observer.addr(), &request("\r\nAuthorization: Bearer right_&_proper")).await;
        let wrong = send(observer.addr(), &request("")).await;
        assert_eq!((right.status, right.body), (wrong.status, wrong.body));
    }

    async fn no_other_site_may_read_an_answer() {
        let observer = observer().await;
        let token = "\r\nAuthorization: Bearer right_&_proper";
        for path in PATHS {
            for headers in ["", "\r\nOrigin: https://evil.example", "\r\nOrigin: null"] {
                if path == "/api/events" && !headers.is_empty() {
                    continue; // it does not end
                }
                let token = if path == "/api/events" { "" } else { token };
                let answer = get_as(&observer, path, &format!("{token}{headers}")).await;
                assert!(!answer.head.to_ascii_lowercase().contains("access-control"), "{path}");
                assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
                assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
                assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
                assert_eq!(answer.header("cross-origin-resource-policy"), Some("same-origin"), "{path}");
                assert!(answer.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{path}");
            }
        }
        let preflight = "OPTIONS /api/servers/1/suspend HTTP/1.1\r\nHost: localhost\r\nOrigin: https://evil.example\r\n\
                         Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization";
        let answer = send(observer.addr(), preflight).await;
        assert_eq!((answer.status, answer.head.to_ascii_lowercase().contains("access-control")), (401, false));
    }

    async fn nonsense_is_refused_at_the_start() {
        for nonsense in [
            Observer::new().every(Duration::ZERO),
            Observer::new().token(""),
            Observer::new().token("two words"),
            Observer::new().token("schlüssel"),
            Observer::new().token("line\nbreak"),
        ] {
            assert_eq!(nonsense.start().await.unwrap_err().kind(), ErrorKind::InvalidInput);
        }
        let observer = Observer::new().start().await.unwrap();
        assert!(observer.addr().ip().is_loopback());
        let taken = Observer::new().bind(observer.addr()).start().await;
        assert_eq!(taken.unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    async fn one_that_listens_everywhere_gives_an_address_that_can_be_opened() {
        let observer = Observer::new().bind((Ipv4Addr::UNSPECIFIED, 0)).start().await.unwrap();
        assert!(observer.addr().ip().is_unspecified());
        assert_eq!(observer.url(), format!("http://127.0.0.1:{}/?token={}", observer.addr().port(), observer.token()));
        assert_eq!(get(&observer, "/api/tree").await.status, 200);
    }
}
