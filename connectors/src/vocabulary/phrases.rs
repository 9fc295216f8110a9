//! The phrases of [`super`], in lower case: a line or more for each language, English first.
//!
//! A word that means one thing in one language and another in the next (`klar`, `listo`) is left out.

/// Names that mean waiting outside the board.
#[rustfmt::skip]
pub(crate) const BACKLOG: &[&str] = &[
    "backlog", "arriéré", "rückstand", "バックログ", "积压工作", "待办事项列表", "백로그", "бэклог", "беклог",
];

/// Names that mean not begun: to do, and ready to be begun.
#[rustfmt::skip]
pub(super) const TODO: &[&str] = &[
    "to do", "todo", "open", "reopened", "ready", "ready for development", "selected for development", "planned",
    "zu erledigen", "offen", "bereit", "neu", "erneut geöffnet", "ausgewählt", "eingeplant",
    "à faire", "ouvert", "ouverte", "prêt", "prête", "nouveau", "rouvert",
    "por hacer", "tareas por hacer", "pendiente", "abierto", "abierta", "nuevo", "reabierto",
    "a fazer", "tarefas pendentes", "itens pendentes", "pendente", "aberto", "aberta", "pronto para desenvolvimento",
    "novo", "reaberto",
    "da fare", "da completare", "aperto", "aperta", "nuovo", "riaperto",
    "te doen", "nog te doen", "klaar voor ontwikkeling", "nieuw", "heropend",
    "do zrobienia", "otwarte", "otwarty", "nowe", "nowy", "gotowe do realizacji",
    "k provedení", "úkoly", "otevřeno", "otevřený", "připraveno", "nové",
    "к выполнению", "сделать", "открыт", "открыто", "новый", "новая", "готово к работе", "готов к работе",
    "готово к разработке",
    "до виконання", "потрібно виконати", "відкрито", "відкритий", "новий", "готово до роботи",
    "未着手", "作業前", "オープン", "準備完了", "再オープン", "新規",
    "할 일", "해야 할 일", "열림", "준비됨", "준비 완료", "신규", "다시 열림",
    "待办", "待辦", "待办事项", "待处理", "待處理", "打开", "開啟", "就绪", "就緒", "准备就绪", "準備就緒", "未开始", "未開始", "待开始", "重新打开", "新建",
    "att göra", "öppen", "öppet", "redo", "ny",
    "at gøre", "opgaver", "åben", "åbent", "klar til", "genåbnet",
    "å gjøre", "gjøremål", "åpen", "åpent", "klar til utvikling",
    "tehtävä", "tehtävänä", "tehtävät", "avoin", "uusi",
    "teendő", "teendők", "tennivaló", "nyitott", "nyitva", "új",
    "yapılacak", "yapılacaklar", "açık", "hazır", "yeni",
];

/// Names that mean work under way.
#[rustfmt::skip]
pub(super) const DOING: &[&str] = &[
    "in progress", "doing", "in development", "development", "working", "started", "wip", "implementing",
    "in arbeit", "in bearbeitung", "in entwicklung", "begonnen",
    "en cours", "en développement",
    "en curso", "en progreso", "en proceso", "en desarrollo",
    "em andamento", "em progresso", "em curso", "em desenvolvimento",
    "in corso", "in lavorazione", "in sviluppo",
    "in behandeling", "in uitvoering", "bezig", "mee bezig", "in ontwikkeling",
    "w toku", "w trakcie", "w realizacji",
    "probíhá", "probíhající", "v řešení", "rozpracováno",
    "в работе", "в процессе", "выполняется", "в разработке",
    "в роботі", "виконується", "у процесі", "в процесі", "в розробці",
    "進行中", "作業中", "対応中", "実装中", "開発中",
    "진행 중", "진행중", "개발 중",
    "进行中", "处理中", "處理中", "正在进行", "开发中", "開發中",
    "pågår", "pågående",
    "i gang", "igangværende", "under udvikling",
    "under arbeid", "i arbeid",
    "käynnissä", "kesken", "työn alla",
    "folyamatban", "fejlesztés alatt",
    "devam ediyor", "devam eden", "sürüyor", "geliştiriliyor",
];

/// Names that mean looking at what somebody else has made.
#[rustfmt::skip]
pub(crate) const REVIEW: &[&str] = &[
    "review", "reviewing", "reviewed", "reviews", "qa", "verify", "verifying", "verification", "verified", "test",
    "tests", "testing", "retest",
    "prüfung", "überprüfung", "begutachtung", "abnahme",
    "en revue", "revue", "vérification", "relecture", "à valider", "en test",
    "revisión", "pruebas", "verificación", "en prueba",
    "revisão", "verificação", "em teste", "testes",
    "revisione", "verifica", "collaudo",
    "beoordeling", "controle", "te beoordelen",
    "przegląd", "przeglądu", "w przeglądzie", "weryfikacja", "weryfikacji", "testy", "testów", "do sprawdzenia",
    "kontrola", "ke kontrole", "revize", "testování",
    "ревью", "на ревью", "проверка", "проверке", "тестирование", "тестировании",
    "перевірка", "перевірці", "рев'ю", "тестування", "тестуванні",
    "レビュー", "レビュー中", "レビュー待ち", "確認中", "テスト中", "検証中",
    "검토", "검토 중", "리뷰", "리뷰 중", "테스트", "테스트 중", "확인 중",
    "审核", "审核中", "待审核", "審核中", "评审", "评审中", "評審", "审查", "审查中", "審查", "审阅", "测试", "测试中", "測試中", "验证", "验证中", "代码审查",
    "granskning", "granskas", "testas",
    "gennemgang", "afprøvning",
    "gjennomgang", "gjennomgås",
    "katselmointi", "tarkastus", "tarkistus", "testaus",
    "ellenőrzés", "felülvizsgálat", "tesztelés",
    "inceleme", "incelemede", "gözden geçirme", "testte",
];

/// Names that mean an impediment, unless the configuration lists its own.
#[rustfmt::skip]
pub(crate) const BLOCKED: &[&str] = &[
    "blocked", "on hold", "impeded",
    "blockiert", "angehalten", "zurückgestellt",
    "bloqué", "bloquée",
    "bloqueado", "bloqueada", "en pausa",
    "impedido", "impedida",
    "bloccato", "bloccata", "in sospeso",
    "geblokkeerd",
    "zablokowane", "zablokowany", "wstrzymane",
    "blokováno", "zablokováno", "pozastaveno",
    "заблокировано", "заблокирована", "заблокирован", "приостановлено",
    "заблоковано", "призупинено",
    "ブロック", "ブロック中", "ブロック済み", "保留", "保留中",
    "차단됨", "차단", "보류", "보류 중",
    "阻塞", "已阻塞", "受阻", "已阻止", "搁置", "擱置", "暂停", "已封鎖", "被阻塞",
    "blockerad", "blockerat", "pausad",
    "blokeret", "sat på pause",
    "blokkert", "på vent",
    "estetty",
    "blokkolva", "blokkolt", "felfüggesztve",
    "engellendi", "engellenmiş", "engelli",
];

/// Names that mean finished.
#[rustfmt::skip]
pub(super) const DONE: &[&str] = &[
    "done", "closed", "resolved", "complete", "completed", "finished", "shipped", "released", "merged", "deployed",
    "fertig", "erledigt", "abgeschlossen", "geschlossen", "gelöst", "behoben",
    "terminé", "terminée", "fermé", "fermée", "résolu", "résolue", "fini",
    "finalizado", "finalizada", "cerrado", "cerrada", "resuelto", "resuelta", "completado", "completada", "hecho",
    "terminado",
    "concluído", "concluída", "itens concluídos", "feito", "fechado", "fechada", "resolvido",
    "completato", "completata", "chiuso", "chiusa", "fatto", "risolto",
    "gereed", "voltooid", "afgerond", "gesloten", "opgelost",
    "gotowe", "zamknięte", "zamknięty", "zakończone", "rozwiązane", "ukończone",
    "hotovo", "uzavřeno", "vyřešeno", "dokončeno",
    "готово", "закрыт", "закрыто", "решено", "решен", "выполнено", "завершено", "сделано",
    "виконано", "закрито", "вирішено",
    "完了", "完了済み", "クローズ", "解決済み", "解決", "終了",
    "완료", "완료됨", "해결됨", "닫힘", "종료",
    "完成", "已完成", "已关闭", "关闭", "已關閉", "關閉", "已解决", "已解決", "结束",
    "klart", "färdig", "färdigt", "stängd", "löst",
    "færdig", "udført", "lukket", "løst",
    "ferdig", "fullført",
    "valmis", "suljettu", "ratkaistu",
    "kész", "lezárva", "megoldva", "befejezve",
    "bitti", "tamamlandı", "tamam", "kapalı", "kapatıldı", "çözüldü",
];

/// Resolutions, and names of finished statuses, that mean giving up.
#[rustfmt::skip]
pub(super) const GIVING_UP: &[&str] = &[
    "won't do", "won't fix", "wont do", "wont fix", "will not do", "will not fix", "won't be done", "won't be fixed",
    "duplicate", "duplicated", "declined", "cannot reproduce", "can't reproduce", "cancelled", "canceled",
    "abandoned", "rejected", "withdrawn", "obsolete", "invalid", "incomplete", "not a bug", "not a problem",
    "not an issue", "works for me", "discarded",
    "abgebrochen", "storniert", "abgelehnt", "verworfen", "zurückgezogen", "wird nicht erledigt",
    "wird nicht behoben", "wird nicht gemacht", "nicht erledigen", "duplikat", "doppelt", "nicht reproduzierbar",
    "annulé", "annulée", "abandonné", "abandonnée", "rejeté", "refusé", "ne sera pas corrigé", "ne sera pas fait",
    "doublon", "impossible à reproduire",
    "cancelado", "cancelada", "rechazado", "rechazada", "descartado", "no se hará", "no se corregirá", "duplicado",
    "no se puede reproducir",
    "rejeitado", "rejeitada", "não será feito", "não será corrigido", "duplicada", "não é possível reproduzir",
    "annullato", "annullata", "rifiutato", "non verrà fatto", "non verrà corretto", "duplicato", "non riproducibile",
    "geannuleerd", "afgewezen", "wordt niet gedaan", "wordt niet opgelost", "duplicaat", "niet reproduceerbaar",
    "anulowane", "anulowano", "odrzucone", "odrzucono", "nie zostanie zrobione", "nie zostanie naprawione",
    "nie można odtworzyć",
    "zrušeno", "zamítnuto", "nebude provedeno", "nebude opraveno", "duplicitní", "nelze reprodukovat",
    "отменено", "отменён", "отменен", "отклонено", "отклонён", "отклонен", "не будет выполнено",
    "не будет исправлено", "не будет сделано", "дубликат", "не воспроизводится",
    "скасовано", "відхилено", "не буде виконано", "не буде виправлено", "дублікат", "не відтворюється",
    "キャンセル", "キャンセル済み", "却下", "対応しない", "修正しない", "実施しない", "重複", "再現できない", "再現不可", "中止", "取り消し",
    "취소", "취소됨", "거부됨", "중복", "하지 않음", "수정하지 않음", "재현할 수 없음", "재현 불가",
    "已取消", "取消", "已拒绝", "已拒絕", "不做", "不修复", "不会修复", "不會修復", "不予解决", "重复", "无法重现", "無法重現", "作废", "已放弃",
    "avbruten", "avbrutet", "avvisad", "kommer inte att göras", "kommer inte att åtgärdas", "dubblett",
    "kan inte återskapas",
    "annulleret", "afvist", "vil ikke blive udført", "vil ikke blive rettet", "dublet", "kan ikke genskabes",
    "avbrutt", "kansellert", "avvist", "vil ikke bli gjort", "vil ikke bli løst", "kan ikke reproduseres",
    "peruttu", "hylätty", "ei tehdä", "ei korjata", "kaksoiskappale", "ei voida toistaa",
    "törölve", "elutasítva", "nem lesz elvégezve", "nem lesz javítva", "duplikált", "nem reprodukálható",
    "iptal edildi", "iptal", "reddedildi", "yapılmayacak", "düzeltilmeyecek", "yinelenen", "tekrarlanamıyor",
];

/// Inward words of links by which the other one blocks this one.
#[rustfmt::skip]
pub(super) const BLOCKED_BY: &[&str] = &[
    "is blocked by",
    "wird blockiert von", "wird blockiert durch", "ist blockiert durch",
    "est bloqué par", "est bloquée par",
    "está bloqueado por", "está bloqueada por", "es bloqueado por", "é bloqueado por", "é bloqueada por",
    "è bloccato da", "è bloccata da", "viene bloccato da",
    "wordt geblokkeerd door", "is geblokkeerd door",
    "jest blokowane przez", "jest blokowany przez", "jest zablokowane przez",
    "je blokováno", "je blokován", "je blokována",
    "блокируется", "блокується",
    "ブロックされている", "ブロックされています",
    "에 의해 차단",
    "被阻塞", "被阻止", "被封鎖", "被阻擋",
    "blockeras av", "blokeres af", "er blokeret af", "blokkeres av", "er blokkert av",
    "on estetty",
    "tarafından engelleniyor", "tarafından engellendi",
];

/// Whole names of the field with which people flag an impediment.
#[rustfmt::skip]
pub(crate) const FLAGGED: &[&str] = &[
    "flagged", "impediment flag",
    "markiert", "gekennzeichnet", "marqué", "marquée", "signalé", "marcado", "marcada", "sinalizado", "sinalizada",
    "contrassegnato", "contrassegnata", "segnalato", "gemarkeerd", "oznaczone", "oznaczony", "oflagowane", "označeno", "označený",
    "отмечено", "помечено", "позначено", "フラグ", "フラグ付き", "フラグあり", "플래그", "플래그 지정됨", "已标记", "已標記", "已加标记",
    "flaggad", "flaggat", "markeret", "flagget", "merkitty", "liputettu", "megjelölt", "megjelölve", "işaretli", "işaretlendi",
];

/// Names of fields that hold an estimate in story points.
#[rustfmt::skip]
pub(crate) const STORY_POINTS: &[&str] = &[
    "story points", "story point estimate", "storypoints",
    "story punkte", "storypunkte", "points de story", "points d'histoire", "puntos de historia", "puntos de la historia",
    "pontos de história", "pontos da história", "pontos de story", "punti storia", "punti della storia", "story punti",
    "storypunten", "story punten", "punkty historii", "punkty story", "body příběhu", "story body",
    "очки истории", "стори поинты", "story пункты", "бали історії", "сторі поінти",
    "ストーリー ポイント", "ストーリーポイント", "스토리 포인트", "스토리포인트", "故事点", "故事点数", "故事點數",
    "story poäng", "storypoäng", "historiepunkter", "tarinapisteet", "történetpontok", "hikaye puanları", "hikâye puanları",
];

/// Names of the field that holds sprints.
pub(crate) const SPRINT: &[&str] = &["sprint", "sprints", "спринт", "スプリント", "스프린트", "冲刺", "衝刺"];

/// Names of the field that links an issue to its epic.
#[rustfmt::skip]
pub(crate) const EPIC_LINK: &[&str] = &[
    "epic link", "epos verknüpfung", "epic verknüpfung", "lien d'epic", "lien d'épopée", "lien epic", "enlace de épica", "enlace a la épica",
    "link do épico", "link épico", "link epic", "collegamento epic", "epiclink", "epic koppeling", "łącze eposu", "odkaz na epic",
    "ссылка на эпик", "посилання на епік", "エピック リンク", "エピックリンク", "에픽 링크", "史诗链接", "长篇故事链接", "episk länk", "eeposlinkki",
    "epik bağlantısı",
];
